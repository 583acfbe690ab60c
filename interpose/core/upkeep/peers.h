/* peers.h - doors of peers.c and of what it asks, inside the core. */
#ifndef VELO_CORE_PEERS_H
#define VELO_CORE_PEERS_H

#include "core/velo.h"

/* Are connections over, long enough? While one lives or did lately, velo_opaque_runs. */
void velo_peers_poll(struct velo_region *region);
/* Somebody left: if nobody is left, what others' ends did not compare is compared. */
void velo_peers_left(struct velo_region *region);

#endif
