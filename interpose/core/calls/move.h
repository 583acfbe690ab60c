/* move.h - two names under the lock: what rename.c and exchange.c share. */
#ifndef VELO_CORE_MOVE_H
#define VELO_CORE_MOVE_H

#include "core/tree/tree.h"

struct velo_move {
    struct velo_region *region;
    struct velo_place *from, *to;
    unsigned flags;
    velo_name_id from_name, to_name; /* none: missing */
    velo_name_id made; /* the name that takes the place of to_name, once there is one */
    velo_node_id node, victim; /* what is moved; what stood at `to`, or none */
    int goes; /* what of the victim stands on disk may not stay there */
};

#endif
