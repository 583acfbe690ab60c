/* gate.h - no other thread of this process writes (gate.c). */
#ifndef VELO_PRELOAD_WRITE_GATE_H
#define VELO_PRELOAD_WRITE_GATE_H

#include "preload/base/preload.h"

/* While a file is led to the disk no other thread of this process writes to a descriptor with a
 * credit: each says when it begins and ends (credit.h). A thread that was cancelled in between never says that
 * it ended; from then on no file of this process is led away. */
extern _Atomic uint32_t velo_gate_inside;
extern _Atomic uint32_t velo_gate_closed; /* 1: wait */
void velo_gate_wait(void);
void velo_gate_forked(void); /* in the child: it has none of them */
/* One file at a time, and no handler of this thread in between, which might want to write: `signals` is what
 * was blocked before. False: some thread writes all the time, or was cancelled while it did. */
bool velo_gate_close(uint64_t *signals);
/* `held` is what close said. */
void velo_gate_open(bool held, const uint64_t *signals);

extern const char *velo_single_threaded; /* __libc_single_threaded of glibc 2.32, or NULL */

static inline bool velo_has_one_thread(void)
{
    return velo_single_threaded != NULL && *velo_single_threaded;
}

#endif
