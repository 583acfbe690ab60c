/* raw.h - system calls as programs without libc make them, for the programs beside this file. */
#ifndef RAW_H
#define RAW_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define RAW(number, ...) RAW_(number, ##__VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define RAW_(n, a, b, c, d, e, f, ...)                                                             \
    raw_call((long)(n), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

__attribute__((always_inline)) static inline long raw_call(long number, long a, long b, long c,
                                                           long d, long e, long f)
{
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory", "cc");
    return result;
}

/* Each step says its name and the kernel's answer, at once: a process may die at the next. */
#define SAY(...) (printf(__VA_ARGS__), putchar('\n'), fflush(stdout))
#define TRY(call) SAY("%s = %ld", #call, (long)(call))

/* A file made by raw calls alone; 1 when all of it worked. */
static inline int make(const char *name)
{
    const long fd = RAW(SYS_openat, AT_FDCWD, name, O_CREAT | O_EXCL | O_WRONLY, 0644);
    const long wrote = RAW(SYS_write, fd, name, strlen(name));
    return fd >= 0 && RAW(SYS_close, fd) == 0 && wrote == (long)strlen(name);
}

/* The size that a raw stat and libc's agree on, else a negative number. */
static inline long size_of(const char *name)
{
    struct stat raw, libc;
    const long rc = RAW(SYS_newfstatat, AT_FDCWD, name, &raw, 0);
    if (rc != 0)
        return rc;
    if (stat(name, &libc) != 0 || libc.st_ino != raw.st_ino || libc.st_size != raw.st_size)
        return -9999;
    return (long)raw.st_size;
}

#endif
