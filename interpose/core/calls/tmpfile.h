/* tmpfile.h - what other files call of tmpfile.c. */
#ifndef VELO_CORE_CALLS_TMPFILE_H
#define VELO_CORE_CALLS_TMPFILE_H

#include "core/arena/layout.h"

/* The node of a file in memory that has no name yet, with the home of what will be at `place`. 0: there is no room. */
velo_node_id velo_tmpfile_node_locked(struct velo_region *region, const struct velo_place *place,
                                      uint64_t backing, const struct stat *stat, int linkable);
/* A name for a file that began without one and is still `generation`. 0, -EEXIST, -ENOENT or -ENOSPC.
 * Its ctime is the caller's to set. */
int velo_link_tmpfile_locked(struct velo_region *region, velo_node_id index, uint32_t generation,
                             const struct velo_place *to);

#endif
