/* recover.h - what a process that was killed under the lock left is made whole. */
#ifndef VELO_CORE_RECOVER_H
#define VELO_CORE_RECOVER_H

#include "core/arena/layout.h"

/* Under the lock: velo_region.recover of each mapping. */
void velo_recover_locked(struct velo_region *region);

#endif
