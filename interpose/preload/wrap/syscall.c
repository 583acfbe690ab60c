/* syscall.c - syscall(2): programs that know the kernel's numbers better than libc.
 *
 * The numbers that name files go to the same wrappers as libc's functions. All others are made
 * right in the assembler stub, with all six arguments and no frame of C between: vfork, clone and
 * rt_sigreturn must find the stack as the program left it.
 * io_uring is answered ENOSYS: rings open files inside the kernel, where no library can stand. */
#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/fanotify.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

#include "preload/path/claim.h"
#include "preload/sud/filter.h"
#include "preload/base/preload.h"
#include "preload/base/raw.h"
#include "preload/program/sandbox.h"
#include "preload/sud/syscall_scan.h"
#include "open.h"
#include "users.h"
#include "syscall.h"
#include "openat2.h"
#include "xattr.h"

int pivot_root(const char *root, const char *old); /* in no header of libc's */
int open_tree(int dirfd, const char *path, unsigned flags);
int move_mount(int from_dirfd, const char *from, int to_dirfd, const char *to, unsigned flags);
int fsconfig(int fd, unsigned command, const char *key, const void *value, int aux);
int mount_setattr(int dirfd, const char *path, unsigned flags, struct mount_attr *attr,
                  size_t size);

#define ADDRESS(word) ((__CONST_SOCKADDR_ARG){.__sockaddr__ = P(word)})
#define CLIENT(word) ((__SOCKADDR_ARG){.__sockaddr__ = P(word)})
static long filtered(long operation, long flags, long filter)
{
    velo_before_seccomp((unsigned long)operation, (unsigned long)filter);
    return velo_answer(velo_sys3(SYS_seccomp, operation, flags, filter));
}

/* The call knows a flag that libc's function may not. */
static long chmod_of(int dirfd, const char *path, mode_t mode, int flags)
{
    const bool itself = (flags & AT_EMPTY_PATH) != 0 && velo_is_empty(path);
    if (itself && dirfd != AT_FDCWD)
        return fchmod(dirfd, mode);
    if (itself)
        return chmod(".", mode);
    return fchmodat(dirfd, path, mode, flags & ~AT_EMPTY_PATH);
}

static long times_of(int dirfd, const char *path, const struct timespec *times, int flags)
{
    return path == NULL && flags == 0 ? futimens(dirfd, times)
                                      : utimensat(dirfd, path, times, flags);
}

#define P(word) ((void *)(intptr_t)(word))
#define CASE(name, call)                                                                           \
    case SYS_##name:                                                                               \
        return call;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wnonnull"
__attribute__((used)) long velo_syscall_routed(long number, long a, long b, long c, long d, long e,
                                               long f)
{
    switch (number) {
#define FILES CASE
#define OTHER CASE
#include "preload/calls.def"
    case SYS_clone:
    case SYS_clone3:
        return velo_answer(velo_clone_elsewhere(number, a, b, c, d, e));
    default:
        return velo_answer(velo_sys6(number, a, b, c, d, e, f));
    }
}
#pragma GCC diagnostic pop

#if defined(__x86_64__)
__asm__(".globl syscall\n.type syscall, @function\n"
        "syscall:\n"
        "    endbr64\n"
        "    cmp $511, %rdi\n"
        "    ja 1f\n"
        "    cmp $56, %rdi\n    je 3f\n" /* clone, clone3: into which namespaces? (sandbox.c) */
        "    cmp $435, %rdi\n    jne 0f\n"
        "3:  push %rdi\n    push %rsi\n    push %rdx\n    push %rcx\n"
        "    push %r8\n    push %r9\n    sub $8, %rsp\n"
        "    call velo_number_is_elsewhere\n"
        "    add $8, %rsp\n    pop %r9\n    pop %r8\n"
        "    pop %rcx\n    pop %rdx\n    pop %rsi\n    pop %rdi\n"
        "    test %al, %al\n"
        "    jnz velo_syscall_routed\n"
        "0:  lea velo_syscall_is_routed(%rip), %rax\n"
        "    cmpb $0, (%rax,%rdi)\n"
        "    jne velo_syscall_routed\n" /* same arguments, same stack */
        "1:  jmp *velo_next_syscall(%rip)\n"
        ".size syscall, . - syscall\n"
        ".type velo_own_syscall, @function\n"
        "velo_own_syscall:\n"
        "    mov %rdi, %rax\n"
        "    mov %rsi, %rdi\n"
        "    mov %rdx, %rsi\n"
        "    mov %rcx, %rdx\n"
        "    mov %r8, %r10\n"
        "    mov %r9, %r8\n"
        "    mov 8(%rsp), %r9\n"
        "    syscall\n"
        "    cmp $-4095, %rax\n"
        "    jae 2f\n"
        "    ret\n"
        "2:  neg %eax\n"
        "    push %rax\n"
        "    call __errno_location@PLT\n"
        "    pop %rcx\n"
        "    mov %ecx, (%rax)\n"
        "    mov $-1, %rax\n"
        "    ret\n"
        ".size velo_own_syscall, . - velo_own_syscall\n"
        /* In a watched process (sud.h): libc's, whose text passes. What the handler must see,
         * processes that begin and signal masks and actions, is made here, where nothing does. */
        ".globl velo_sud_syscall\n.hidden velo_sud_syscall\n"
        ".type velo_sud_syscall, @function\n"
        "velo_sud_syscall:\n"
        "    cmp $13, %rdi\n    je velo_own_syscall\n" /* rt_sigaction */
        "    cmp $14, %rdi\n    je velo_own_syscall\n" /* rt_sigprocmask */
        "    cmp $56, %rdi\n    je velo_own_syscall\n" /* clone, fork, vfork */
        "    cmp $57, %rdi\n    je velo_own_syscall\n"
        "    cmp $58, %rdi\n    je velo_own_syscall\n"
        "    cmp $435, %rdi\n    je velo_own_syscall\n" /* clone3 */
        "    jmp *velo_libc_syscall(%rip)\n"
        ".size velo_sud_syscall, . - velo_sud_syscall\n"
        ".data\n.balign 8\n"
        ".globl velo_next_syscall\n.hidden velo_next_syscall\n"
        ".type velo_next_syscall, @object\n.size velo_next_syscall, 8\n"
        "velo_next_syscall: .quad velo_own_syscall\n"
        ".text\n");
#elif defined(__aarch64__)
__asm__(".globl syscall\n.type syscall, %function\n"
        "syscall:\n"
        "    cmp x0, #511\n"
        "    b.hi 1f\n"
        "    cmp x0, #220\n    b.eq 3f\n" /* clone, clone3: into which namespaces? (sandbox.c) */
        "    cmp x0, #435\n    b.ne 4f\n"
        "3:  stp x29, x30, [sp, #-80]!\n"
        "    stp x0, x1, [sp, #16]\n    stp x2, x3, [sp, #32]\n"
        "    stp x4, x5, [sp, #48]\n    str x6, [sp, #64]\n"
        "    bl velo_number_is_elsewhere\n"
        "    mov w16, w0\n"
        "    ldp x0, x1, [sp, #16]\n    ldp x2, x3, [sp, #32]\n"
        "    ldp x4, x5, [sp, #48]\n    ldr x6, [sp, #64]\n"
        "    ldp x29, x30, [sp], #80\n"
        "    tst w16, #0xff\n"
        "    b.ne velo_syscall_routed\n"
        "4:  adrp x16, velo_syscall_is_routed\n"
        "    add x16, x16, :lo12:velo_syscall_is_routed\n"
        "    ldrb w16, [x16, x0]\n"
        "    cbnz w16, velo_syscall_routed\n"
        "1:  mov x8, x0\n"
        "    mov x0, x1\n"
        "    mov x1, x2\n"
        "    mov x2, x3\n"
        "    mov x3, x4\n"
        "    mov x4, x5\n"
        "    mov x5, x6\n"
        "    svc #0\n"
        "    cmn x0, #4095\n"
        "    b.cs 2f\n"
        "    ret\n"
        "2:  neg w0, w0\n"
        "    stp x30, x0, [sp, #-16]!\n"
        "    bl __errno_location\n"
        "    ldp x30, x1, [sp], #16\n"
        "    str w1, [x0]\n"
        "    mov x0, #-1\n"
        "    ret\n"
        ".size syscall, . - syscall\n");
#endif
