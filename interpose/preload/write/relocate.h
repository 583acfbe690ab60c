/* relocate.h - what other files call of relocate.c. */
#ifndef VELO_PRELOAD_WRITE_RELOCATE_H
#define VELO_PRELOAD_WRITE_RELOCATE_H

#include "preload/base/preload.h"

/* There is no room for what `fd` writes: let it, and what it was duplicated to, go on at the real
 * path (relocate.c). 0, or -ENOSPC: others would notice. */
int velo_relocate_descriptor(int fd, velo_node_id node);
/* The same because a process outside is to meet the file (a lock, a handed descriptor, a device): waits a
 * moment only. */
int velo_relocate_soon(int fd, velo_node_id node);
/* The same for all files that this process writes, if they are many; those that cannot go stay. */
void velo_relocate_many(void);
/* The same for whatever descriptors of this process have the file open, or a file below the directory;
 * with `waits` as long as a shard may be looking at it, or some seconds when another process has it.
 * 0 or -errno. */
int velo_relocate_place(const struct velo_place *place, bool waits);
/* The same for all files that may be written and that no other process has: this process will look at the disk. */
void velo_relocate_all(struct velo_region *region);

#endif
