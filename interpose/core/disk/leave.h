/* leave.h - files go to the disk before a watcher hears of them there. */
#ifndef VELO_CORE_LEAVE_H
#define VELO_CORE_LEAVE_H

#include "core/velo.h"

/* A file moves or gets a name: if that is in a watched directory, it is on disk first. */
void velo_arrives(struct velo_region *region, const struct velo_place *from,
                  const struct velo_place *to);

/* velo_evict of a file that will have names elsewhere; waits for a shard that is just looking at it. -EBUSY: a program
 * has it open, and it stays. */
int velo_evict_patiently(struct velo_region *region, velo_node_id index);

#endif
