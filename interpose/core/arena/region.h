/* region.h - mapping an arena, without what the floors above add (recover.c). */
#ifndef VELO_CORE_REGION_H
#define VELO_CORE_REGION_H

#include "core/velo.h"

/* As velo_region_attach, but without recovery: the caller must not take the lock. */
int velo_region_map(struct velo_region *region, const char *directory);

#endif
