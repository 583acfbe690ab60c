/* opaque.h - what other files call of opaque.c. */
#ifndef VELO_CORE_UPKEEP_OPAQUE_H
#define VELO_CORE_UPKEEP_OPAQUE_H

#include "core/arena/layout.h"
#include "core/disk/reconcile.h"

void velo_opaque_poll(struct velo_region *region);
/* Watch one more process under that name, unless it is watched already. */
void velo_opaque_enter(struct velo_region *region, uint32_t pid, uint32_t tally);
int velo_opaque_compare(struct velo_region *region, const struct velo_walked *walked,
                        const struct velo_place *place);

#endif
