/* snapshot.h - a consistent copy of what open needs to know of a node, taken without the lock. */
#ifndef VELO_CORE_SNAPSHOT_H
#define VELO_CORE_SNAPSHOT_H

#include "core/arena/layout.h"

/* The file was used: it leaves memory later than others. */
void velo_tick(struct velo_region *region, velo_node_id node);

#endif
