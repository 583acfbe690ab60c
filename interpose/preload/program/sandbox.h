/* sandbox.h - steps into another view of the file systems. */
#ifndef VELO_PRELOAD_SANDBOX_H
#define VELO_PRELOAD_SANDBOX_H

#include "preload/base/preload.h"

/* Around a step of this process: the first makes it opaque, and says what it was; the second is told
 * how the step ended, and takes it back when it failed. */
int velo_step_begin(void);
void velo_step_end(int was, long rc);

/* Do these flags of clone(2), unshare(2) or setns(2) ask for another view? */
bool velo_is_another_view(uint64_t flags);

/* Around a clone that copies memory, with these flags: true when the child is opaque from the start.
 * Then the second is told what the kernel said, on both sides. */
bool velo_child_begins(uint64_t flags);
void velo_child_began(long rc);

/* Is the call with that number such a step, whose child goes on from where it was called? Then the call itself. */
bool velo_number_is_elsewhere(long number, long a, long b);
/* landlock: the rules name directories that the process may open from here on, and files in memory are not there. */
long velo_restricts_itself(long number, long a, long b);
long velo_clone_elsewhere(long number, long a, long b, long c, long d, long e);

/* Before a clone that shares memory: parent and child have one memory, so both are opaque from here on. */
void velo_before_shared_child(uint64_t flags);

#endif
