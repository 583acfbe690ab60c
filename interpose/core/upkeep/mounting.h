/* mounting.h - what other files call of mounting.c. */
#ifndef VELO_CORE_UPKEEP_MOUNTING_H
#define VELO_CORE_UPKEEP_MOUNTING_H

#include "core/arena/layout.h"

/* Now and then, while there is a second name: is it gone? */
void velo_mounts_poll(struct velo_region *region);

#endif
