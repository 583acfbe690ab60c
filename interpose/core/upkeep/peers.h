/* peers.h - doors of peers.c and of what it asks, inside the core. */
#ifndef VELO_CORE_PEERS_H
#define VELO_CORE_PEERS_H

#include "core/velo.h"

/* Are connections over, long enough? While one lives or did lately, velo_opaque_runs. */
void velo_peers_poll(struct velo_region *region);
/* Somebody left: if nobody is left, what others' ends did not compare is compared. */
void velo_peers_left(struct velo_region *region);
/* opaque_children.c: has the process, of whatever program, the arena in its memory? */
int velo_maps_arena(struct velo_region *region, uint32_t pid);
/* opaque_children.c: watch whom `peer` has started since, and who was started by those. */
void velo_descendants_enter(struct velo_region *region, uint32_t peer, uint64_t since_ns,
                            uint32_t tally);

#endif
