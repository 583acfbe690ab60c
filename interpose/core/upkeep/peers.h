/* peers.h - doors of peers.c and of what it asks, inside the core. */
#ifndef VELO_CORE_PEERS_H
#define VELO_CORE_PEERS_H

#include "core/velo.h"

/* Looks for connections that ended long enough ago. While one lives, or did lately, velo_opaque_runs is true. */
void velo_peers_poll(struct velo_region *region);
/* A program or peer left: if none is left, the work of the others that was not compared is compared. */
void velo_peers_left(struct velo_region *region);

#endif
