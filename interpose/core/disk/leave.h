/* leave.h - files go to the disk before somebody hears of them there. */
#ifndef VELO_CORE_LEAVE_H
#define VELO_CORE_LEAVE_H

#include "core/velo.h"

/* A file moves or gets a name: if that is in a watched directory, it is on disk first. */
void velo_arrives(struct velo_region *region, const struct velo_place *from,
                  const struct velo_place *to);

/* A file is about to be the disk's alone, under names that nobody else knows. 0; -EBUSY: a program has it open. While a
 * shard looks at it, puts or evicts it, this waits. */
int velo_leave_for_disk(struct velo_region *region, struct velo_place *place);

#endif
