/* restore.h - the outputs of an entry, back where the step would have made them. */
#ifndef VELO_PRELOAD_REPLAY_RESTORE_H
#define VELO_PRELOAD_REPLAY_RESTORE_H

#include "index.h"
#include "log.h"

#define VELO_OUTPUTS_MAX 32768u /* of an entry that answers */

/* Which of an entry's outputs were not there before: a bit each. */
struct velo_restored {
    uint32_t count;
    uint8_t made[VELO_OUTPUTS_MAX / 8];
};

/* Makes all outputs, in the recorded order, with `stamp` as their time. 0, or -errno: something stands in the way, or
 * bytes are missing; then the step runs, from what it would have found without us. */
int velo_restore(const struct velo_index *index, const struct velo_entry *entry, int64_t stamp,
                 struct velo_restored *restored);
/* Removes the new outputs again, since the step is to run after all. A file that was replaced stays: the recorded step
 * wrote over it without looking at it. */
void velo_restore_undo(const struct velo_index *index, const struct velo_entry *entry,
                       const struct velo_restored *restored);

#endif
