/* mirror.h - the disk's copy of a file that is open in memory was changed (mirror.c). */
#ifndef VELO_CORE_MIRROR_H
#define VELO_CORE_MIRROR_H

#include "core/arena/layout.h"

/* The disk's copy, `text` in `dirfd`, was changed in place from outside, and a process has the file in
 * memory open: its bytes and attributes become those of the copy. 0, -EBUSY (it changes in memory, too)
 * or -errno. */
int velo_mirror_disk(struct velo_region *region, velo_node_id node, int dirfd, const char *text);

#endif
