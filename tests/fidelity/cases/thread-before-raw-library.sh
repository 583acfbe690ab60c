# a library with raw system calls is loaded, and called by a thread that was there before and waits in a condition, a poll or a spin
[ "$(uname -m)" = x86_64 ] || exit 0
cat > raw.c <<'C'
#include <fcntl.h>
#include <sys/syscall.h>
static long call(long n, long a, long b, long c)
{
    long r;
    __asm__ volatile("syscall" : "=a"(r) : "0"(n), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return r;
}
int see(const char *path, char *text)
{
    long file = call(SYS_open, (long)path, O_RDONLY, 0);
    if (file < 0) return 0;
    long got = call(SYS_read, file, (long)text, 3);
    call(SYS_close, file, 0, 0);
    return got;
}
C
cat > main.c <<'C'
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
static int (*volatile see)(const char *, char *);
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t loaded = PTHREAD_COND_INITIALIZER;
static int end[2];
static char text[3][4];
static void *waits(void *at) { pthread_mutex_lock(&lock); while (see == 0) pthread_cond_wait(&loaded, &lock); pthread_mutex_unlock(&lock); see("f", at); return 0; }
static void *polls(void *at) { struct pollfd p = {end[0], POLLIN, 0}; while (poll(&p, 1, -1) != 1 && errno == EINTR); see("f", at); return 0; }
static void *spins(void *at) { while (see == 0); see("f", at); return 0; }
int main(void)
{
    pthread_t threads[3];
    void *(*const kinds[])(void *) = {waits, polls, spins};
    pipe(end);
    for (int i = 0; i < 3; i++) pthread_create(&threads[i], 0, kinds[i], text[i]);
    void *library = dlopen("../raw.so", RTLD_NOW);
    pthread_mutex_lock(&lock); see = (int (*)(const char *, char *))dlsym(library, "see"); pthread_cond_broadcast(&loaded); pthread_mutex_unlock(&lock);
    write(end[1], "", 1);
    for (int i = 0; i < 3; i++) { pthread_join(threads[i], 0); puts(text[i]); }
    return 0;
}
C
gcc -w -O1 -shared -fPIC -o raw.so raw.c && gcc -w -O1 -pthread -o main main.c -ldl && cd build || exit
echo old > f; [ "$SIDE" = native ] || $VELO sync > /dev/null 2>&1
echo new > g; mv g f; ../main; rm -f ../main ../raw.so
