/* stamps.h - the times that files and directories get, and the floor below all of them. */
#ifndef VELO_CORE_STAMPS_H
#define VELO_CORE_STAMPS_H

#include "core/arena/lock.h"

/* Stamp a directory: its entries changed. */
void velo_touch_locked(struct velo_region *region, velo_node_id directory);
/* The ctime to show of a file whose tmpfs file has `kernel_ns`. Link and rename change it in the
 * node only, a copy into memory in the kernel only. */
int64_t velo_ctime_of(const struct velo_node *node, int64_t kernel_ns);

#endif
