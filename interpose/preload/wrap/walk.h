/* walk.h - what other files call of walk.c. */
#ifndef VELO_PRELOAD_WRAP_WALK_H
#define VELO_PRELOAD_WRAP_WALK_H

#include "preload/base/preload.h"

/* Everything on disk, for a reader that will look there itself. Counted as an escape. */
void velo_flush_tree(struct velo_region *region);

#endif
