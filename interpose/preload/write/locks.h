/* locks.h - locks that this process has, on their way from a file in memory to the same one on disk. */
#ifndef VELO_PRELOAD_LOCKS_H
#define VELO_PRELOAD_LOCKS_H

#include "preload/base/preload.h"

#define VELO_LOCKS_MAX 32u

struct velo_locks {
    struct {
        enum { VELO_LOCK_FLOCK, VELO_LOCK_OFD, VELO_LOCK_POSIX } kind;
        struct flock range;
    } all[VELO_LOCKS_MAX];
    unsigned count;
};

/* What is locked by the descriptor, or by this process in its file. False: too much to carry, or it cannot be
 * known. `text` is room to read in. */
bool velo_locks_of(int fd, char *text, size_t size, struct velo_locks *out);
/* Take those again, of the file behind `fd`: those of the open file (`open`), or those of the process. */
void velo_take_locks(int fd, const struct velo_locks *locks, bool open);

#endif
