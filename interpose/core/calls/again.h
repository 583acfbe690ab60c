/* again.h - what other files call of again.c. */
#ifndef VELO_CORE_CALLS_AGAIN_H
#define VELO_CORE_CALLS_AGAIN_H

#include "core/arena/layout.h"

/* Walk place's own path once more: after another process changed the tree. */
int velo_walk_again(struct velo_region *region, unsigned flags, struct velo_place *place);
/* Nothing stood at the place. 0: something stands there now, try once more; else the answer for the program. */
int velo_try_again(struct velo_region *region, struct velo_place *place);
/* `rc` is -ENOENT, because the name became the kernel's since the walk (disk/retire.c): place is outside now. */
int velo_became_the_kernels(struct velo_region *region, struct velo_place *place, int rc);
/* Under the lock: place->text.path as it is now; an ancestor may have been renamed since the walk. */
int velo_fresh_path(struct velo_region *region, struct velo_place *place);

#endif
