# threads made by a raw clone(2) make raw calls: with a large stack, and with a small one
[ "$(uname -m)" = x86_64 ] || exit 0
cat > raw.c <<'C'
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
static char text[4];
static volatile int done;
static long call(long n, long a, long b, long c)
{
    long r;
    __asm__ volatile("syscall" : "=a"(r) : "0"(n), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return r;
}
static void thread(void)
{
    long file = call(SYS_open, (long)"build/f", O_RDONLY, 0);
    if (file >= 0) call(SYS_read, file, (long)text, 3);
    done = 1;
    call(SYS_exit, 0, 0, 0);
}
static void make(long size)
{
    char *stack = mmap(0, size, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void **top = (void **)(stack + size - 64);
    *top = (void *)thread;
    register long none __asm__("r10") = 0;
    long r;
    __asm__ volatile("syscall\n test %%rax, %%rax\n jnz 1f\n pop %%rax\n call *%%rax\n 1:"
        : "=a"(r) : "0"(SYS_clone), "D"(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM),
          "S"(top), "d"(0), "r"(none) : "rcx", "r11", "memory");
    while (!done) sched_yield();
    puts(text); done = 0; text[0] = 0;
}
int main(int count, char **of)
{
    make(of[1][0] == 'l' ? 1 << 18 : 32768);
    return 0;
}
C
gcc -w -O1 -o raw raw.c && echo old > build/f && $VELO sync >/dev/null 2>&1
echo new > build/g; mv build/g build/f; ./raw large; echo newer > build/g; mv build/g build/f; ./raw small; rm -f raw
