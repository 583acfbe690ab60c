/* across.h - what other files call of across.c. */
#ifndef VELO_CORE_CALLS_ACROSS_H
#define VELO_CORE_CALLS_ACROSS_H

#include "core/arena/layout.h"

/* across.c: a rename of which one end is outside, or that only the kernel can do. `leaves`: what is
 * moved is on disk only afterwards, at least in part. */
int velo_rename_across(struct velo_region *region, struct velo_place *from, struct velo_place *to,
                       unsigned flags, int leaves);
/* Have on disk what is in a directory that is about to leave. 0, or -errno. */
int velo_writeback_leaving(struct velo_region *region, velo_node_id directory);
/* Is there something in it that is not on disk: opened to be written since? */
int velo_has_left_locked(const struct velo_region *region, velo_node_id directory);

#endif
