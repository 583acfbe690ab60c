/* setattr.h - what other files call of setattr.c. */
#ifndef VELO_CORE_CALLS_SETATTR_H
#define VELO_CORE_CALLS_SETATTR_H

#include "core/arena/layout.h"

/* The kernel's inode of a node that is not in memory is another now, or has other links. */
void velo_unbacked_changed(struct velo_region *region, velo_node_id node, int times);

#endif
