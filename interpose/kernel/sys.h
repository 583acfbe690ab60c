/* sys.h - system calls in front of which no library can stand.
 *
 * Inside the preload library connect(), read() and close() may be our own wrappers, and libc's
 * touch errno, cancellation and locks.  These are the instruction itself: a number and up to six
 * words in, one word out, a failure is the negative errno value, and errno is left alone.  Safe
 * in a signal handler, after fork and in a vfork child.
 *
 *     long fd = velo_sys4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
 *     if (fd < 0)
 *         return (int)fd;
 *
 * Arguments may be integers of any width or pointers; each is cast to the kernel's `long`.
 * EINTR comes back like any error; the caller decides.  Structs are the kernel's own layout
 * (struct stat of libc is not always; struct statx, iovec, timespec, sockaddr are).
 *
 * In the preload library (VELO_GATED) the instruction stands behind a pointer: where the kernel
 * hands raw system calls over to us, ours must come from the one range that passes, libc's text.
 * Until then the gate is two instructions of our own (sud.c).  One indirect call, 1 ns; a
 * byte set and put back around each instruction was rejected, because signal handlers and vfork
 * children come between.
 *
 * Rejected: syscall(2), which is a wrapper itself, sets errno, and is one that we interpose. */
#ifndef VELO_CORE_SYS_H
#define VELO_CORE_SYS_H

#include <stdint.h>
#include <sys/syscall.h> /* the SYS_ numbers */

/* Of the same value on both machines; headers may be older than the kernel. */
#ifndef SYS_open_tree
#define SYS_open_tree 428
#endif
#ifndef SYS_move_mount
#define SYS_move_mount 429
#endif
#ifndef SYS_fsconfig
#define SYS_fsconfig 431
#endif
#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#ifndef SYS_openat2
#define SYS_openat2 437
#endif
#ifndef SYS_faccessat2
#define SYS_faccessat2 439
#endif
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif
#ifndef SYS_setxattrat /* Linux 6.13 */
#define SYS_setxattrat 463
#define SYS_getxattrat 464
#define SYS_listxattrat 465
#define SYS_removexattrat 466
#endif
#ifndef SYS_file_getattr /* Linux 6.17 */
#define SYS_file_getattr 468
#define SYS_file_setattr 469
#endif

/* A pointer as a system call's argument, where the cast should be seen. */
static inline long velo_word(const volatile void *pointer)
{
    return (long)(intptr_t)pointer;
}

#if defined(__x86_64__) && !defined(__ILP32__)

#ifdef VELO_GATED
extern void *velo_gate __attribute__((visibility("hidden"))); /* "syscall; ret" */
/* The call writes below the stack pointer, where a function without calls may keep its locals. */
#define VELO_SYSCALL "lea -128(%%rsp), %%rsp\n\tcall *velo_gate(%%rip)\n\tlea 128(%%rsp), %%rsp"
#else
#define VELO_SYSCALL "syscall"
#endif

static inline long velo_sys6(long number, long a, long b, long c, long d, long e, long f)
{
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    /* The instruction keeps its return address in rcx and the flags in r11. */
    __asm__ volatile(VELO_SYSCALL
                     : "=a"(result)
                     : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory", "cc");
    return result;
}

static inline long velo_sys3(long number, long a, long b, long c)
{
    long result;
    __asm__ volatile(VELO_SYSCALL
                     : "=a"(result)
                     : "0"(number), "D"(a), "S"(b), "d"(c)
                     : "rcx", "r11", "memory", "cc");
    return result;
}

#elif defined(__aarch64__)

static inline long velo_sys6(long number, long a, long b, long c, long d, long e, long f)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc #0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory", "cc");
    return x0;
}

static inline long velo_sys3(long number, long a, long b, long c)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory", "cc");
    return x0;
}

#else
#error "velo's preload knows x86-64 and aarch64 only"
#endif

/* The casts live in macros so that callers stay clean under -Wconversion.  The kernel ignores
 * words it did not ask for, so the shorter forms are the longer ones with zeros. */
#define velo_sys0(n) (velo_sys3)((long)(n), 0, 0, 0)
#define velo_sys1(n, a) (velo_sys3)((long)(n), (long)(a), 0, 0)
#define velo_sys2(n, a, b) (velo_sys3)((long)(n), (long)(a), (long)(b), 0)
#define velo_sys3(n, a, b, c) (velo_sys3)((long)(n), (long)(a), (long)(b), (long)(c))
#define velo_sys4(n, a, b, c, d)                                                                   \
    (velo_sys6)((long)(n), (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define velo_sys5(n, a, b, c, d, e)                                                                \
    (velo_sys6)((long)(n), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)
#define velo_sys6(n, a, b, c, d, e, f)                                                             \
    (velo_sys6)((long)(n), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

#endif
