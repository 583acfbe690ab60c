/* space.h - room for what grows, and for files to come (space.c, writeback.c). */
#ifndef VELO_CORE_SPACE_H
#define VELO_CORE_SPACE_H

#include "core/arena/layout.h"

/* Before a file that holds `bytes` grows: 0, or -ENOSPC: memory is full and no shard made room in time. */
int velo_space_for_open(struct velo_region *region, uint32_t shard, uint64_t bytes);

/* A file in memory is charged for `end` bytes, and some ahead, as long as all charges stay below `limit`; else
 * -ENOSPC. */
int velo_charge_locked(struct velo_region *region, velo_node_id index, uint64_t end,
                       uint64_t limit);

/* Tables, names and the library's copy. */
uint64_t velo_metadata_bytes(const struct velo_region *region);

#endif
