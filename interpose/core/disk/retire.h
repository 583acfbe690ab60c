/* retire.h - names leave memory: a directory becomes the kernel's, with all below it (retire.c). */
#ifndef VELO_CORE_RETIRE_H
#define VELO_CORE_RETIRE_H

#include "core/arena/layout.h"

/* Do names take most of what memory may hold, or all slots but a few? */
int velo_names_are_scarce(const struct velo_region *region);
/* Is the node somewhere below the directory? */
int velo_lies_in(const struct velo_region *region, const struct velo_node *node,
                 velo_node_id directory);
/* Forget what is below `directory`, which the kernel answers for from then on: 0. -ENOSPC: something there is not
 * as the disk has it, or is watched. */
int velo_retire_found(struct velo_region *region, velo_node_id directory);
/* The same of a directory that cannot be listed, until it can: velo_reopen_directory, when all below it is known
 * again. If the names below cannot be forgotten now, they stay. */
void velo_close_directory(struct velo_region *region, velo_node_id directory);
void velo_reopen_directory(struct velo_region *region, velo_node_id directory);

#endif
