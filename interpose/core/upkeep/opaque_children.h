/* opaque_children.h - what other files call of opaque_children.c. */
#ifndef VELO_CORE_UPKEEP_OPAQUE_CHILDREN_H
#define VELO_CORE_UPKEEP_OPAQUE_CHILDREN_H

#include "core/arena/layout.h"

/* opaque_children.c: watch the processes that the program in `slot`, which ended, left running. */
void velo_opaque_children_enter(struct velo_region *region, const struct velo_opaque_slot *slot);
/* opaque_children.c: has the process, of whatever program, the arena in its memory? */
int velo_maps_arena(struct velo_region *region, uint32_t pid);
/* opaque_children.c: watch the processes that `peer` has started since, and those that they started. */
void velo_descendants_enter(struct velo_region *region, uint32_t peer, uint64_t since_ns,
                            uint32_t tally);

#endif
