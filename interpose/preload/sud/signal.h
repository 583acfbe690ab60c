/* signal.h - what other files call of signal.c. */
#ifndef VELO_PRELOAD_SUD_SIGNAL_H
#define VELO_PRELOAD_SUD_SIGNAL_H

#include "preload/base/preload.h"
#include "preload/sud/signals.h"

/* rt_sigaction as the program means it. 0 or -errno; *before is always filled on success. */
long velo_action_change(int signal, const struct velo_kernel_action *wanted,
                        struct velo_kernel_action *before);
/* A SIGSYS that is none of ours, from kill(2) or a filter: what the program wants done with it. */
void velo_sigsys_deliver(int signal, siginfo_t *info, void *context);

#endif
