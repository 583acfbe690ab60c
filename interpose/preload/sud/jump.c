/* jump.c - functions that must not be called through a frame of C.
 *
 * vfork returns twice on one stack. clone starts a child in the middle of the call. So these look at
 * their arguments and jump on, with registers and stack as they came (so do loader.c's). */
#include <sched.h>

#include "preload/path/claim.h"
#include "sud.h"
#include "preload/program/sandbox.h"
#include "preload/write/share.h"

/* Gets the arguments to change, where the stub stored them; the result is where to jump. */
struct clone_call;
void *velo_before_clone(struct clone_call *call);

#if defined(__x86_64__)
struct clone_call { /* the reverse of the order in which they are pushed */
    long padding, r9, r8;
    void *argument;
    unsigned long flags;
    void *stack;
    int (*function)(void *);
};
#else
struct clone_call {
    int (*function)(void *);
    void *stack;
    unsigned long flags;
    void *argument;
};
#endif

/* ---- clone ----------------------------------------------------------------------------------- */

/* At the top of the child's stack: what it shall do, when it first has to be watched (sud.h). */
struct start {
    int (*function)(void *);
    void *argument;
};

static int begin(void *top)
{
    const struct start start = *(struct start *)top;
    velo_sud_cloned();
    return start.function(start.argument);
}

static int begin_elsewhere(void *top)
{
    const struct start start = *(struct start *)top;
    velo_child_began(0);
    return start.function(start.argument);
}

static struct start *at_top(void *stack, int (*function)(void *), void *argument)
{
    struct start *top = (struct start *)((uintptr_t)stack & ~(uintptr_t)15) - 1;
    *top = (struct start){function, argument};
    return top;
}

/* Is jumped to, so its arguments are clone's. The child has another view of the file systems (sandbox.c),
 * and a stack of its own: a frame of C on the old one is no trouble. */
static int clone_elsewhere(int (*function)(void *), void *stack, int flags, void *argument,
                           pid_t *parent, void *tls, pid_t *child)
{
    if (!velo_child_begins((unsigned)flags))
        return NEXT(clone)(function, stack, flags, argument, parent, tls, child);
    struct start *top = at_top(stack, function, argument);
    const int rc = NEXT(clone)(begin_elsewhere, top, flags, top, parent, tls, child);
    velo_child_began(rc);
    return rc;
}

/* A child that shares memory, but perhaps not the working directory, with us. */
__attribute__((used)) void *velo_before_clone(struct clone_call *call)
{
    const bool whole = call->function != NULL && call->stack != NULL;
    if (whole && velo_is_another_view(call->flags) && (call->flags & CLONE_VM) == 0)
        return (void *)clone_elsewhere;
    velo_before_shared_child(call->flags);
    if ((call->flags & CLONE_FILES) == 0)
        velo_before_child();
    if ((call->flags & CLONE_VM) != 0 && (call->flags & CLONE_FS) == 0)
        velo_cwd_unknowable();
    if (velo_is_sud() && !velo_vfork_child && whole) {
        struct start *top = at_top(call->stack, call->function, call->argument);
        call->function = begin;
        call->argument = top;
        call->stack = top;
    }
    return (void *)NEXT(clone);
}

#if defined(__x86_64__)

#define JUMP(name, prepare)                                                                        \
    __asm__(".globl " #name "\n.type " #name ", @function\n" #name ":\n"                           \
            "    endbr64\n"                                                                        \
            "    push %rdi\n    push %rsi\n    push %rdx\n    push %rcx\n"                         \
            "    push %r8\n    push %r9\n    sub $8, %rsp\n" prepare "    call velo_before_" #name \
            "\n"                                                                                   \
            "    add $8, %rsp\n    pop %r9\n    pop %r8\n"                                         \
            "    pop %rcx\n    pop %rdx\n    pop %rsi\n    pop %rdi\n"                             \
            "    jmp *%rax\n"                                                                      \
            ".size " #name ", . - " #name "\n")

/* The flag is set before the call, so that the child, which runs first, sees it. The parent puts the old
 * value back: the child left the parent's registers as they were. */
__asm__(".globl vfork\n.type vfork, @function\n"
        ".globl __vfork\n.type __vfork, @function\n"
        "vfork:\n__vfork:\n"
        "    endbr64\n"
        "    sub $8, %rsp\n"
        "    call velo_before_child\n"
        "    add $8, %rsp\n"
        "    pop %rdi\n" /* the child will overwrite this stack slot */
        "    mov velo_vfork_child@gottpoff(%rip), %rdx\n"
        "    mov %fs:(%rdx), %esi\n"
        "    movl $1, %fs:(%rdx)\n"
        "    mov velo_selector@gottpoff(%rip), %r8\n" /* not through the gate: no return address */
        "    movzbl %fs:(%r8), %r9d\n" /* may lie on the stack */
        "    movb $0, %fs:(%r8)\n"
        "    mov $58, %eax\n"
        "    syscall\n"
        "    push %rdi\n"
        "    test %eax, %eax\n"
        "    jz 1f\n"
        "    mov %esi, %fs:(%rdx)\n"
        "    movb %r9b, %fs:(%r8)\n"
        "    js 2f\n"
        "1:  ret\n"
        "2:  neg %eax\n"
        "    push %rax\n"
        "    call __errno_location@PLT\n"
        "    pop %rcx\n"
        "    mov %ecx, (%rax)\n"
        "    mov $-1, %eax\n"
        "    ret\n"
        ".size vfork, . - vfork\n");

#elif defined(__aarch64__)

#define JUMP(name, prepare)                                                                        \
    __asm__(".globl " #name "\n.type " #name ", %function\n" #name ":\n"                           \
            "    stp x29, x30, [sp, #-80]!\n"                                                      \
            "    mov x29, sp\n"                                                                    \
            "    stp x0, x1, [sp, #16]\n    stp x2, x3, [sp, #32]\n"                               \
            "    stp x4, x5, [sp, #48]\n    stp x6, x7, [sp, #64]\n" prepare                       \
            "    bl velo_before_" #name "\n"                                                       \
            "    mov x16, x0\n"                                                                    \
            "    ldp x0, x1, [sp, #16]\n    ldp x2, x3, [sp, #32]\n"                               \
            "    ldp x4, x5, [sp, #48]\n    ldp x6, x7, [sp, #64]\n"                               \
            "    ldp x29, x30, [sp], #80\n"                                                        \
            "    br x16\n"                                                                         \
            ".size " #name ", . - " #name "\n")

/* There is no vfork here; clone(CLONE_VM | CLONE_VFORK | SIGCHLD, 0) is it. */
__asm__(".globl vfork\n.type vfork, %function\n"
        ".globl __vfork\n.type __vfork, %function\n"
        "vfork:\n__vfork:\n"
        "    stp x29, x30, [sp, #-16]!\n"
        "    mov x29, sp\n"
        "    bl velo_before_child\n"
        "    ldp x29, x30, [sp], #16\n"
        "    adrp x2, :gottprel:velo_vfork_child\n"
        "    ldr x2, [x2, :gottprel_lo12:velo_vfork_child]\n"
        "    mrs x3, tpidr_el0\n"
        "    add x3, x3, x2\n"
        "    ldr w4, [x3]\n"
        "    mov w5, #1\n"
        "    str w5, [x3]\n"
        "    mov x0, #0x4111\n"
        "    mov x1, #0\n"
        "    mov x8, #220\n"
        "    svc #0\n"
        "    cbz x0, 1f\n"
        "    str w4, [x3]\n"
        "    tbnz x0, #63, 2f\n"
        "1:  ret\n"
        "2:  neg w0, w0\n"
        "    stp x30, x0, [sp, #-16]!\n"
        "    bl __errno_location\n"
        "    ldp x30, x1, [sp], #16\n"
        "    str w1, [x0]\n"
        "    mov w0, #-1\n"
        "    ret\n"
        ".size vfork, . - vfork\n");

#endif

#if defined(__x86_64__)
#define PASS_SAVED "    mov %rsp, %rdi\n"
#else
#define PASS_SAVED "    add x0, sp, #16\n"
#endif

JUMP(clone, PASS_SAVED);
__asm__(".globl __clone\n.set __clone, clone\n");
