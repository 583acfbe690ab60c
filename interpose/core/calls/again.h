/* again.h - what other files call of again.c. */
#ifndef VELO_CORE_CALLS_AGAIN_H
#define VELO_CORE_CALLS_AGAIN_H

#include "core/arena/layout.h"

/* Walk place's own path once more: after somebody changed the tree. */
int velo_walk_again(struct velo_region *region, unsigned flags, struct velo_place *place);
/* Under the lock: place->path as it is now; an ancestor may have been renamed since the walk. */
int velo_fresh_path(struct velo_region *region, struct velo_place *place);

#endif
