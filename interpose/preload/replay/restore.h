/* restore.h - the outputs of an entry, back where the step would have made them. */
#ifndef VELO_PRELOAD_REPLAY_RESTORE_H
#define VELO_PRELOAD_REPLAY_RESTORE_H

#include "index.h"
#include "log.h"

/* All of them, in the recorded order, with `stamp` as their time. 0, or -errno: something stands in the way, or bytes
 * are missing; then the step runs, and makes whatever was begun here anew. */
int velo_restore(const struct velo_index *index, const struct velo_entry *entry, int64_t stamp);

#endif
