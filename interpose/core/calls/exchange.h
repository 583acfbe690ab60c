/* exchange.h - what other files call of exchange.c. */
#ifndef VELO_CORE_CALLS_EXCHANGE_H
#define VELO_CORE_CALLS_EXCHANGE_H

#include "core/arena/layout.h"
#include "core/calls/move.h"

/* exchange.c: RENAME_EXCHANGE of two hosted names that are no roots. 0, VELO_AGAIN (walk again) or
 * -errno. */
int velo_exchange(struct velo_region *region, struct velo_place *from, struct velo_place *to);
/* The disk has done its half: move->from, ->to, their names and nodes are set. 0 or -ENOSPC. */
int velo_exchange_recover(struct velo_move *move);

#endif
