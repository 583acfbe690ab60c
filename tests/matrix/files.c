/* files.c - a program that works with files in every usual way and prints what it sees.
 *
 * In: `files DIR [threads STACK_BYTES | no-mounts | no-network | few-calls]`; DIR must not exist. Out: one line
 * for each observation, none of which depends on time, place or luck. Never: a call of a library
 * other than libc and libpthread, so that it can be built by any compiler and run in any company. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREAD_COUNT 8
#define ROUNDS 25

static void need(int good, const char *what)
{
    if (good)
        return;
    printf("%s: %s\n", what, strerror(errno));
    exit(1);
}

static void show(const char *name)
{
    struct stat found;
    if (lstat(name, &found) != 0) {
        printf("%s: %s\n", name, strerror(errno));
        return;
    }
    printf("%s: mode %o links %d size %lld\n", name, (unsigned)found.st_mode, (int)found.st_nlink,
           (long long)(S_ISDIR(found.st_mode) ? 0 : found.st_size));
}

static void by_descriptor(void)
{
    char bytes[8] = "";
    int fd = open("plain", O_RDWR | O_CREAT | O_EXCL, 0640);
    need(fd >= 0, "open");
    need(write(fd, "0123456789", 10) == 10, "write");
    need(pwrite(fd, "ab", 2, 4) == 2, "pwrite");
    need(lseek(fd, 2, SEEK_SET) == 2 && read(fd, bytes, 6) == 6, "read");
    printf("read %s\n", bytes);
    need(ftruncate(fd, 9000) == 0, "ftruncate");
    char *map = mmap(NULL, 9000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    need(map != MAP_FAILED, "mmap");
    memcpy(map + 8000, "mapped", 6);
    need(munmap(map, 9000) == 0 && fsync(fd) == 0 && close(fd) == 0, "close");
    errno = 0;
    printf("again %d", open("plain", O_WRONLY | O_CREAT | O_EXCL, 0600));
    printf(" %s\n", strerror(errno));
}

static void by_name(void)
{
    need(mkdir("sub", 0750) == 0, "mkdir");
    need(rename("plain", "sub/moved") == 0 && link("sub/moved", "hard") == 0, "rename");
    need(symlink("sub/moved", "soft") == 0 && chmod("hard", 0604) == 0, "symlink");
    char target[64] = "";
    need(readlink("soft", target, sizeof target - 1) > 0, "readlink");
    printf("soft -> %s\n", target);
    char *real = realpath("soft", NULL);
    need(real != NULL, "realpath");
    printf("realpath ends in %s\n", strrchr(real, '/'));
    free(real);
    show("soft"), show("hard"), show("plain"), show("sub");
    need(unlink("hard") == 0, "unlink");
    show("sub/moved");
    printf("rmdir %d", rmdir("sub"));
    printf(" %s\n", strerror(errno));
}

static void by_stream(void)
{
    FILE *file = fopen("stream", "w+");
    need(file != NULL, "fopen");
    for (int line = 0; line < 2000; line++)
        fprintf(file, "line %d\n", line);
    rewind(file);
    char text[64];
    int count = 0;
    while (fgets(text, sizeof text, file) != NULL)
        count++;
    printf("%d lines, the last %s", count, text);
    need(fclose(file) == 0, "fclose");
}

static void in_a_child(void)
{
    int fd = open("shared", O_RDWR | O_CREAT | O_APPEND, 0644);
    need(fd >= 0, "open shared");
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        need(write(fd, "child\n", 6) == 6, "write in child");
        _exit(7);
    }
    int status = 0;
    need(child > 0 && waitpid(child, &status, 0) == child, "waitpid");
    need(write(fd, "parent\n", 7) == 7, "write in parent");
    printf("child %d, offset %lld\n", WEXITSTATUS(status), (long long)lseek(fd, 0, SEEK_CUR));
    need(close(fd) == 0, "close shared");
}

static void *one_thread(void *argument)
{
    const long self = (long)argument;
    for (int round = 0; round < ROUNDS; round++) {
        char name[64], other[64], bytes[64];
        snprintf(name, sizeof name, "thread-%ld-%d", self, round);
        snprintf(other, sizeof other, "done-%ld-%d", self, round);
        int fd = openat(AT_FDCWD, name, O_RDWR | O_CREAT | O_TRUNC, 0644);
        need(fd >= 0 && write(fd, name, strlen(name)) > 0 && close(fd) == 0, name);
        need(rename(name, other) == 0, other);
        FILE *file = fopen(other, "r");
        need(file != NULL && fgets(bytes, sizeof bytes, file) != NULL, other);
        need(strcmp(bytes, name) == 0 && fclose(file) == 0, "what was read");
        if (round % 2)
            need(unlink(other) == 0, "unlink");
    }
    return NULL;
}

static void by_threads(size_t stack_bytes)
{
    pthread_t threads[THREAD_COUNT];
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    errno = pthread_attr_setstacksize(&attributes, stack_bytes);
    need(errno == 0, "stack size");
    for (long i = 0; i < THREAD_COUNT; i++) {
        errno = pthread_create(&threads[i], &attributes, one_thread, (void *)i);
        need(errno == 0, "thread");
    }
    for (int i = 0; i < THREAD_COUNT; i++)
        pthread_join(threads[i], NULL);
}

/* Names, of hidden or other files alike, in order. */
static void list(void)
{
    struct dirent **found;
    int count = scandir(".", &found, NULL, alphasort);
    need(count >= 0, "scandir");
    for (int i = 0; i < count; i++) {
        printf("%s%s", found[i]->d_name, i + 1 < count ? " " : "\n");
        free(found[i]);
    }
    free(found);
}

/* ---- a life behind a filter ------------------------------------------------------------------ */

#define CALL(name) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)SYS_##name, 0, 1), ANSWER
#define LOAD_CALL BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))
#define DENIED (SECCOMP_RET_ERRNO | EPERM)

static void filter(struct sock_filter *lines, size_t count)
{
    struct sock_fprog program = {.len = (unsigned short)count, .filter = lines};
    need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no new privileges");
    need(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0, "seccomp");
}

#define ANSWER BPF_STMT(BPF_RET | BPF_K, DENIED)

/* As containers do: everything that a program with files needs. */
static void deny_mounts(void)
{
    struct sock_filter lines[] = {
        LOAD_CALL,
        CALL(mount),
        CALL(umount2),
        CALL(pivot_root),
        CALL(reboot),
        CALL(swapon),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    filter(lines, sizeof lines / sizeof lines[0]);
}

/* As sandboxes of builds do: everything but the network. */
static void deny_network(void)
{
    struct sock_filter lines[] = {
        LOAD_CALL,
        CALL(socket),
        CALL(connect),
        CALL(socketpair),
        CALL(bind),
        CALL(sendto),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    filter(lines, sizeof lines / sizeof lines[0]);
}

#undef ANSWER
#define ANSWER BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

/* As parsers of untrusted files do: nothing but what this program itself needs. */
static void allow_few(void)
{
    struct sock_filter lines[] = {
        LOAD_CALL,
        CALL(read),
        CALL(write),
        CALL(pread64),
        CALL(pwrite64),
        CALL(close),
        CALL(openat),
        CALL(lseek),
        CALL(ftruncate),
        CALL(fstat),
        CALL(newfstatat),
        CALL(fsync),
        CALL(fcntl),
        CALL(mmap),
        CALL(munmap),
        CALL(mprotect),
        CALL(mremap),
        CALL(brk),
        CALL(getdents64),
        CALL(mkdirat),
        CALL(renameat),
        CALL(linkat),
        CALL(symlinkat),
        CALL(readlinkat),
        CALL(unlinkat),
        CALL(fchmodat),
        CALL(getcwd),
        CALL(getpid),
        CALL(gettid),
        CALL(wait4),
        CALL(clone),
        CALL(clone3),
        CALL(futex),
        CALL(rt_sigprocmask),
        CALL(rt_sigaction),
        CALL(rt_sigreturn),
        CALL(set_robust_list),
        CALL(rseq),
        CALL(madvise),
        CALL(getrandom),
        CALL(clock_gettime),
        CALL(exit),
        CALL(exit_group),
#ifdef SYS_open
        CALL(open),
        CALL(stat),
        CALL(lstat),
        CALL(mkdir),
        CALL(rename),
        CALL(link),
        CALL(symlink),
        CALL(readlink),
        CALL(unlink),
        CALL(rmdir),
        CALL(chmod),
#endif
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    filter(lines, sizeof lines / sizeof lines[0]);
}

int main(int argc, char **argv)
{
    const char *company = argc > 2 ? argv[2] : "";
    need(argc > 1 && mkdir(argv[1], 0755) == 0 && chdir(argv[1]) == 0, "the directory");
    if (strcmp(company, "no-mounts") == 0)
        deny_mounts();
    if (strcmp(company, "no-network") == 0)
        deny_network();
    if (strcmp(company, "few-calls") == 0)
        allow_few();
    by_descriptor();
    by_name();
    by_stream();
    in_a_child();
    if (strcmp(company, "threads") == 0)
        by_threads((size_t)atol(argv[3]));
    list();
    return 0;
}
