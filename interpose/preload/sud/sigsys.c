/* sigsys.c - one raw system call, handed over by the kernel as a signal.
 *
 * In    the registers of a thread that stands behind a `syscall` instruction outside libc
 * Out   the same, with the answer in rax: from the function that stands in front of libc's when
 *       the call names files, else from the kernel, asked again from the range that passes
 * Never another change that the thread could see: errno, the signal mask and the alternate stack
 *       are put back by the return from this handler, so calls that change those are special.
 *
 * It runs on the stack of the interrupted code, like the function it stands for: alternate stacks
 * are often smaller than what a path needs. */
#include "sud.h"
#include "preload/write/credit.h"

#if defined(__x86_64__)

#include <link.h>
#include <linux/audit.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

#include "beside.h"
#include "filter.h"
#include "preload/program/opaque.h"
#include "preload/base/raw.h"
#include "signals.h"
#include "preload/program/sandbox.h"
#include "syscall_scan.h"
#include "summon.h"
#include "preload/write/gate.h"
#include "sigsys.h"
#include "signal.h"

#ifndef SYS_USER_DISPATCH
#define SYS_USER_DISPATCH 2
#endif
#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif
#define X32_BIT 0x40000000
#define PAGE_BYTES 4096
#define SYSCALL_BYTES 2 /* of the instruction, as of int $0x80 */

struct call {
    long number, a, b, c, d, e, f;
    ucontext_t *context;
};

/* ---- memory of the program ------------------------------------------------------------------- */

/* The kernel says EFAULT where we would crash. `verb` copies between here and there. */
static long copy(long verb, const struct iovec *here, const struct iovec *there)
{
    return velo_sys6(verb, velo_sys0(SYS_getpid), velo_word(here), 1, velo_word(there), 1, 0);
}

static long copy_in(void *to, long from, size_t size)
{
    const struct iovec here = {to, size}, there = {(void *)from, size};
    const long done = copy(SYS_process_vm_readv, &here, &there);
    if (done == -EPERM || done == -ENOSYS) /* a filter: then as a program in C would */
        return memcpy(to, there.iov_base, size), 0;
    return done == (long)size ? 0 : -EFAULT;
}

static long copy_out(long to, const void *from, size_t size)
{
    const struct iovec here = {(void *)(uintptr_t)from, size}, there = {(void *)to, size};
    const long done = copy(SYS_process_vm_writev, &here, &there);
    if (done == -EPERM || done == -ENOSYS)
        return memcpy(there.iov_base, from, size), 0;
    return done == (long)size ? 0 : -EFAULT;
}

/* ---- the ways to make a call ----------------------------------------------------------------- */

static long ask_kernel(const struct call *call)
{
    return velo_sys6(call->number, call->a, call->b, call->c, call->d, call->e, call->f);
}

/* A raw system call is no cancellation point, but the functions behind this may be. */
static long ask_ourselves(const struct call *call)
{
    int state;
    struct velo_region *region = velo_here();
    if (region == NULL)
        return ask_kernel(call);
    velo_escape(region, VELO_ESCAPE_SYSCALL);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    const long result =
        velo_route_call(call->number, call->a, call->b, call->c, call->d, call->e, call->f);
    const long answer = result == -1 ? -errno : result;
    pthread_setcancelstate(state, NULL);
    return answer;
}

/* The instruction is executed again, and passes: for calls that end on another stack. The thread's
 * later calls pass too until it next comes by velo_here. */
static long make_in_place(const struct call *call)
{
    greg_t *registers = call->context->uc_mcontext.gregs;
    velo_selector = VELO_PASSES;
    registers[REG_RIP] -= SYSCALL_BYTES;
    return registers[REG_RAX];
}

/* The frame of this handler is simply left behind: the kernel returns to the program's own. */
__attribute__((noreturn)) static void return_from_signal(const struct call *call)
{
    __asm__ volatile("mov %0, %%rsp\n\t"
                     "mov %1, %%eax\n\t"
                     "jmp *velo_gate(%%rip)"
                     :
                     : "r"(call->context->uc_mcontext.gregs[REG_RSP]), "i"(SYS_rt_sigreturn)
                     : "memory");
    __builtin_unreachable();
}

/* ---- special calls --------------------------------------------------------------------------- */

static long fork_like(const struct call *call, uint64_t flags)
{
    const bool elsewhere = velo_child_begins(flags);
    const long result = ask_kernel(call);
    if (elsewhere) {
        velo_child_began(result);
    } else if (result == 0) {
        velo_gate_forked();
        velo_sud_forked();
    }
    return result;
}

static bool starts_on_same_stack(uint64_t flags, uint64_t stack)
{
    return stack == 0 && (flags & (CLONE_VM | CLONE_SETTLS)) == 0;
}

/* Makes a thread that libc does not know. Where the thread has room for our frames and the maker's thread-local
 * storage, its calls are handed over, too (beside.c). Else the process is opaque: its stack may have 4 KiB. */
static long make_thread(const struct call *call, uint64_t flags, uint64_t stack)
{
    struct velo_region *region = velo_here();
    char byte;
    bool roomy = call->number == SYS_clone && (flags & CLONE_SETTLS) == 0 && stack != 0;
    for (uint64_t below = 8; roomy && below < VELO_BESIDE_BYTES; below += PAGE_BYTES)
        roomy = copy_in(&byte, (long)(stack - below), 1) == 0;
    if (roomy) {
        velo_beside(call->context);
        return call->number;
    }
    if (region != NULL && !velo_vfork_child)
        velo_leave_unreachable(region);
    return make_in_place(call);
}

static long clone_like(const struct call *call, uint64_t flags, uint64_t stack)
{
    if (starts_on_same_stack(flags, stack))
        return fork_like(call, flags);
    velo_before_shared_child(flags);
    return (flags & (CLONE_VM | CLONE_VFORK)) == CLONE_VM ? make_thread(call, flags, stack)
                                                          : make_in_place(call);
}

static long clone3_like(const struct call *call)
{
    struct clone_args arguments = {0};
    if (call->b < CLONE_ARGS_SIZE_VER0 || copy_in(&arguments, call->a, CLONE_ARGS_SIZE_VER0) != 0)
        return ask_kernel(call);
    return clone_like(call, arguments.flags, arguments.stack);
}

/* The mask is the one that this handler's end puts in place. Only the program is told of SIGSYS. */
static long change_mask(const struct call *call)
{
    uint64_t wanted = 0, now = 0, before = 0;
    if (call->d != sizeof wanted)
        return -EINVAL;
    if (call->b != 0 && copy_in(&wanted, call->b, sizeof wanted) != 0)
        return -EFAULT;
    const bool named = (wanted & VELO_SIGSYS_BIT) != 0;
    wanted &= ~VELO_SIGSYS_BIT;
    const long rc = velo_sys4(SYS_rt_sigprocmask, call->a, call->b == 0 ? 0 : velo_word(&wanted),
                              velo_word(&before), sizeof before);
    if (rc != 0)
        return rc;
    before |= velo_sigsys_blocked ? VELO_SIGSYS_BIT : 0;
    if (call->b != 0)
        velo_sigsys_blocked = velo_blocks_then((int)call->a, named, velo_sigsys_blocked);
    velo_sys4(SYS_rt_sigprocmask, SIG_BLOCK, 0, velo_word(&now), sizeof now);
    memcpy(&call->context->uc_sigmask, &now, sizeof now);
    return call->c == 0 ? 0 : copy_out(call->c, &before, sizeof before);
}

static long change_action(const struct call *call)
{
    struct velo_kernel_action wanted, before;
    if (call->d != sizeof(uint64_t))
        return -EINVAL;
    if (call->b != 0 && copy_in(&wanted, call->b, sizeof wanted) != 0)
        return -EFAULT;
    const long rc = velo_action_change((int)call->a, call->b == 0 ? NULL : &wanted, &before);
    return rc != 0 || call->c == 0 ? rc : copy_out(call->c, &before, sizeof before);
}

static long change_stack(const struct call *call)
{
    const long rc = ask_kernel(call);
    if (rc == 0)
        velo_sys2(SYS_sigaltstack, 0, velo_word(&call->context->uc_stack));
    return rc;
}

static long control(const struct call *call)
{
    if (call->number == SYS_seccomp)
        velo_before_seccomp((unsigned long)call->a, (unsigned long)call->c);
    else if (call->a == PR_SET_SECCOMP)
        velo_before_prctl_seccomp((unsigned long)call->b, (unsigned long)call->c);
    else if (call->a == PR_SET_SYSCALL_USER_DISPATCH)
        velo_sud_end(velo_here());
    return ask_kernel(call);
}

static long answer(const struct call *call)
{
    switch (call->number) {
    case SYS_rt_sigreturn:
        return_from_signal(call);
    case SYS_rt_sigprocmask:
        return change_mask(call);
    case SYS_rt_sigaction:
        return change_action(call);
    case SYS_sigaltstack:
        return change_stack(call);
    case SYS_prctl:
    case SYS_seccomp:
        return control(call);
    case SYS_fork:
        return fork_like(call, 0);
    case SYS_clone:
        return clone_like(call, (uint64_t)call->a, (uint64_t)call->b);
    case SYS_clone3:
        return clone3_like(call);
    case SYS_vfork:
        return make_in_place(call);
    default:
        return call->number >= 0 && call->number < VELO_NUMBERS_MAX &&
                       velo_syscall_is_routed[call->number] != 0
                   ? ask_ourselves(call)
                   : ask_kernel(call);
    }
}

/* ---- the caller ------------------------------------------------------------------------------ */

static struct {
    _Atomic uintptr_t start;
    uintptr_t size;
} loader;

static int find_loader(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    (void)context;
    const char *name = strrchr(info->dlpi_name, '/');
    if (name == NULL || strncmp(name, "/ld-linux", 9) != 0)
        return 0;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        if (segment->p_type != PT_LOAD || (segment->p_flags & PF_X) == 0)
            continue;
        loader.size = segment->p_memsz;
        atomic_store_explicit(&loader.start, info->dlpi_addr + segment->p_vaddr,
                              memory_order_release);
        return 1;
    }
    return 0;
}

void velo_sigsys_find_loader(void)
{
    dl_iterate_phdr(find_loader, NULL);
}

/* Files that the loader opens were put on disk before (opaque.c), and stay mapped from there. */
static bool is_loader(uintptr_t at)
{
    const uintptr_t start = atomic_load_explicit(&loader.start, memory_order_acquire);
    return start != 0 && at - start < loader.size;
}

/* Numbers of another table (int $0x80, x32) are not ours to read. */
static bool is_foreign(const siginfo_t *info, long number)
{
    return info->si_arch != AUDIT_ARCH_X86_64 || (number & X32_BIT) != 0;
}

static void hand_over(const siginfo_t *info, ucontext_t *context)
{
    greg_t *registers = context->uc_mcontext.gregs;
    const struct call call = {
        registers[REG_RAX], registers[REG_RDI], registers[REG_RSI], registers[REG_RDX],
        registers[REG_R10], registers[REG_R8],  registers[REG_R9],  context};
    if (is_foreign(info, call.number))
        make_in_place(&call);
    else if (is_loader((uintptr_t)registers[REG_RIP]))
        registers[REG_RAX] = ask_kernel(&call);
    else
        registers[REG_RAX] = answer(&call);
}

void velo_sigsys(int signal, siginfo_t *info, void *context)
{
    const int saved = errno;
    if (info->si_code == SYS_USER_DISPATCH) {
        hand_over(info, context);
    } else if (velo_is_summons(info)) {
        velo_sud_thread();
    } else {
        velo_sigsys_deliver(signal, info, context);
        return;
    }
    errno = saved;
}

#endif
