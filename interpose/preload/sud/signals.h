/* signals.h - SIGSYS belongs to us in a watched process, and the program must not notice.
 *
 * Its action is remembered and told, but not installed; it is taken out of every mask that the
 * program sets, and put back into every mask that it reads. */
#ifndef VELO_PRELOAD_SIGNALS_H
#define VELO_PRELOAD_SIGNALS_H

#include "sud.h"

#define VELO_SIGSYS_BIT (1ull << (SIGSYS - 1))

/* struct kernel_sigaction of rt_sigaction(2), on x86-64. */
struct velo_kernel_action {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};

/* Whether SIGSYS is blocked after sigprocmask(how) with a set that does or does not name it. */
static inline bool velo_blocks_then(int how, bool named, bool before)
{
    return how == SIG_SETMASK ? named : how == SIG_BLOCK ? before || named : before && !named;
}

#endif
