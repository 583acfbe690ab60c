/* beside.h - a thread that a raw clone(2) makes beside libc is watched from its first instruction (beside.c). */
#ifndef VELO_PRELOAD_BESIDE_H
#define VELO_PRELOAD_BESIDE_H

#include <ucontext.h>

#define VELO_BESIDE_BYTES (48u << 10) /* of its stack must be there: a signal's frame, and ours */

/* What passes, as the kernel was told of the threads that are watched. Assembler reads it. */
struct velo_passing {
    const void *start;
    long bytes;
};
extern struct velo_passing velo_passing;

/* The thread in `context` stands behind its clone(2), whose second argument is the new stack: it makes the call
 * anew when the handler returns, from code of ours. */
void velo_beside(ucontext_t *context);

#endif
