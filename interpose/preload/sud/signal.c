/* signal.c - signal masks and actions, in a watched process (sud.h); elsewhere each of
 * these is one test and libc's own.
 *
 * A thread that blocks SIGSYS and makes a raw system call would be killed by the kernel. So no mask
 * that reaches the kernel holds it. vfork children are not watched and get what they ask for. */
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/select.h>

#include "filter.h"
#include "preload/base/raw.h"
#include "signals.h"
#include "signal.h"

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif

static inline bool ours(void)
{
    return velo_is_sud() && !velo_vfork_child;
}

/* ---- actions --------------------------------------------------------------------------------- */

/* Signals whose handlers the program wants to run with SIGSYS blocked. */
static _Atomic uint64_t masks_naming_it;

static bool named_for(int signal, bool set, bool named)
{
    const uint64_t bit = 1ull << ((unsigned)(signal - 1) & 63u);
    if (!set)
        return (atomic_load(&masks_naming_it) & bit) != 0;
    const uint64_t before =
        named ? atomic_fetch_or(&masks_naming_it, bit) : atomic_fetch_and(&masks_naming_it, ~bit);
    return (before & bit) != 0;
}

static int change_action(int signal, const struct sigaction *wanted, struct sigaction *before)
{
    struct sigaction copy, old;
    if (signal == SIGSYS) {
        copy = velo_sigsys_wanted;
        if (wanted != NULL)
            velo_sigsys_wanted = *wanted;
        if (before != NULL)
            *before = copy;
        return 0;
    }
    const bool named = wanted != NULL && sigismember(&wanted->sa_mask, SIGSYS) == 1;
    if (wanted != NULL) {
        copy = *wanted;
        sigdelset(&copy.sa_mask, SIGSYS);
    }
    const int rc = NEXT(sigaction)(signal, wanted == NULL ? NULL : &copy, &old);
    if (rc != 0)
        return rc;
    if (named_for(signal, wanted != NULL, named))
        sigaddset(&old.sa_mask, SIGSYS);
    if (before != NULL)
        *before = old;
    return 0;
}

EXPORT int sigaction(int signal, const struct sigaction *wanted, struct sigaction *before)
{
    return ours() ? change_action(signal, wanted, before) : NEXT(sigaction)(signal, wanted, before);
}
ALIAS(__sigaction, sigaction);

/* libc's signal and its relatives call a hidden sigaction; only SIGSYS makes a difference. */
static sighandler_t set_handler(int signal, sighandler_t handler, int flags)
{
    struct sigaction wanted = {.sa_flags = flags}, before;
    wanted.sa_handler = handler;
    if (handler == SIG_ERR) {
        errno = EINVAL;
        return SIG_ERR;
    }
    return change_action(signal, &wanted, &before) == 0 ? before.sa_handler : SIG_ERR;
}

EXPORT sighandler_t signal(int signal_, sighandler_t handler)
{
    return signal_ == SIGSYS && ours() ? set_handler(signal_, handler, SA_RESTART)
                                       : NEXT(signal)(signal_, handler);
}
ALIAS(bsd_signal, signal);
ALIAS(ssignal, signal);

EXPORT sighandler_t sysv_signal(int signal_, sighandler_t handler)
{
    return signal_ == SIGSYS && ours()
               ? set_handler(signal_, handler, (int)(SA_RESETHAND | SA_NODEFER))
               : NEXT(sysv_signal)(signal_, handler);
}
ALIAS(__sysv_signal, sysv_signal);

static void to_kernel(const struct sigaction *from, struct velo_kernel_action *to)
{
    to->handler = from->sa_handler;
    to->flags = (unsigned)from->sa_flags;
    to->restorer = from->sa_restorer;
    memcpy(&to->mask, &from->sa_mask, sizeof to->mask);
}

static void from_kernel(const struct velo_kernel_action *from, struct sigaction *to)
{
    to->sa_handler = from->handler;
    to->sa_flags = (int)from->flags;
    to->sa_restorer = from->restorer;
    memcpy(&to->sa_mask, &from->mask, sizeof from->mask);
}

long velo_action_change(int signal, const struct velo_kernel_action *wanted,
                        struct velo_kernel_action *before)
{
    if (signal == SIGSYS) {
        to_kernel(&velo_sigsys_wanted, before);
        if (wanted != NULL)
            from_kernel(wanted, &velo_sigsys_wanted);
        return 0;
    }
    struct velo_kernel_action copy;
    bool named = false;
    if (wanted != NULL) {
        copy = *wanted;
        named = (copy.mask & VELO_SIGSYS_BIT) != 0;
        copy.mask &= ~VELO_SIGSYS_BIT;
    }
    const long rc = velo_sys4(SYS_rt_sigaction, signal, wanted == NULL ? 0 : velo_word(&copy),
                              velo_word(before), sizeof copy.mask);
    if (rc == 0 && named_for(signal, wanted != NULL, named))
        before->mask |= VELO_SIGSYS_BIT;
    return rc;
}

/* ---- a SIGSYS for the program ---------------------------------------------------------------- */

static void die(void)
{
    struct sigaction nothing = {.sa_flags = 0};
    nothing.sa_handler = SIG_DFL;
    NEXT(sigaction)(SIGSYS, &nothing, NULL);
    velo_sys3(SYS_tgkill, velo_sys0(SYS_getpid), velo_sys0(SYS_gettid), SIGSYS);
}

void velo_sigsys_deliver(int signal, siginfo_t *info, void *context)
{
    const struct sigaction wanted = velo_sigsys_wanted;
    const bool sent = info->si_code <= 0; /* by a process; the kernel's own cannot be ignored */
    if (wanted.sa_handler == SIG_IGN && sent)
        return;
    if (wanted.sa_handler == SIG_DFL || wanted.sa_handler == SIG_IGN) {
        die();
        return;
    }
    if ((wanted.sa_flags & (int)SA_RESETHAND) != 0)
        velo_sigsys_wanted.sa_handler = SIG_DFL;
    uint64_t mask;
    memcpy(&mask, &wanted.sa_mask, sizeof mask);
    mask &= ~VELO_SIGSYS_BIT;
    if (mask != 0) /* the return from our handler puts the old mask back */
        velo_sys4(SYS_rt_sigprocmask, SIG_BLOCK, velo_word(&mask), 0, sizeof mask);
    if ((wanted.sa_flags & SA_SIGINFO) != 0)
        wanted.sa_sigaction(signal, info, context);
    else
        wanted.sa_handler(signal);
}

/* ---- masks ----------------------------------------------------------------------------------- */

/* `set` without SIGSYS, in *copy; NULL stays NULL. */
static const sigset_t *without(const sigset_t *set, sigset_t *copy)
{
    if (set == NULL)
        return NULL;
    *copy = *set;
    sigdelset(copy, SIGSYS);
    return copy;
}

typedef int (*mask_changer)(int, const sigset_t *, sigset_t *);

static int change_mask(mask_changer next, int how, const sigset_t *set, sigset_t *before)
{
    sigset_t copy;
    const bool blocked = velo_sigsys_blocked;
    const bool named = set != NULL && sigismember(set, SIGSYS) == 1;
    const int rc = next(how, without(set, &copy), before);
    if (rc != 0)
        return rc;
    if (before != NULL && blocked)
        sigaddset(before, SIGSYS);
    if (set != NULL)
        velo_sigsys_blocked = velo_blocks_then(how, named, blocked);
    return 0;
}

EXPORT int sigprocmask(int how, const sigset_t *set, sigset_t *before)
{
    return ours() ? change_mask(NEXT(sigprocmask), how, set, before)
                  : NEXT(sigprocmask)(how, set, before);
}

EXPORT int pthread_sigmask(int how, const sigset_t *set, sigset_t *before)
{
    return ours() ? change_mask(NEXT(pthread_sigmask), how, set, before)
                  : NEXT(pthread_sigmask)(how, set, before);
}

/* For the time of a wait. */
#define WITHOUT(set) (ours() ? without(set, &(sigset_t){0}) : (set))

EXPORT int sigsuspend(const sigset_t *set)
{
    return NEXT(sigsuspend)(WITHOUT(set));
}
ALIAS(__sigsuspend, sigsuspend);

EXPORT int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
                 const sigset_t *set)
{
    return NEXT(ppoll)(fds, count, timeout, WITHOUT(set));
}

int __ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
                const sigset_t *set, size_t size);
EXPORT int __ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
                       const sigset_t *set, size_t size)
{
    return NEXT(__ppoll_chk)(fds, count, timeout, WITHOUT(set), size);
}

EXPORT int pselect(int count, fd_set *restrict in, fd_set *restrict out, fd_set *restrict failed,
                   const struct timespec *restrict timeout, const sigset_t *restrict set)
{
    return NEXT(pselect)(count, in, out, failed, timeout, WITHOUT(set));
}

EXPORT int epoll_pwait(int epoll, struct epoll_event *events, int count, int timeout,
                       const sigset_t *set)
{
    return NEXT(epoll_pwait)(epoll, events, count, timeout, WITHOUT(set));
}

/* ---- the kernel's own facilities ------------------------------------------------------------- */

EXPORT int prctl(int option, ...)
{
    va_list list;
    va_start(list, option);
    const unsigned long a = va_arg(list, unsigned long), b = va_arg(list, unsigned long);
    const unsigned long c = va_arg(list, unsigned long), d = va_arg(list, unsigned long);
    va_end(list);
    if (option == PR_SET_SECCOMP)
        velo_before_prctl_seccomp(a, b);
    else if (ours() && option == PR_SET_SYSCALL_USER_DISPATCH)
        velo_sud_end(velo_here());
    return (int)velo_answer(velo_sys5(SYS_prctl, option, a, b, c, d));
}
