/* snapshot.h - a consistent copy of what open needs to know of a node, taken without the lock. */
#ifndef VELO_CORE_SNAPSHOT_H
#define VELO_CORE_SNAPSHOT_H

#include "core/arena/layout.h"

/* A consistent copy of what open needs to know of a node. */
struct velo_look {
    enum velo_state state;
    uint32_t generation, links, home;
    uint64_t backing, version;
};
/* 0, or -ENOENT when the node is no regular file (any more). */
int velo_look_at(struct velo_region *region, uint32_t node, struct velo_look *out);
/* The file was used: it leaves memory later than others. */
void velo_tick(struct velo_region *region, uint32_t node);

#endif
