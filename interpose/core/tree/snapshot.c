/* snapshot.c - reading several words of a node as they were at one moment.  See snapshot.h. */
#include "snapshot.h"

#include <errno.h>
#include <time.h>

#include "core/arena/lock.h"
#include "kernel/os.h"
#include "stamps.h"

int velo_snapshot_take(struct velo_region *region, velo_node_id index, struct velo_snapshot *out)
{
    struct velo_hold hold;
    for (int attempt = 0; attempt < 100; attempt++) {
        const uint64_t sequence = velo_read_begin(region);
        const struct velo_node *node = velo_node_at(region, index);
        out->state = VELO_READ(node->state);
        out->generation = VELO_READ(node->generation);
        out->links = VELO_READ(node->links);
        out->home = VELO_READ(node->home);
        out->backing = VELO_READ(node->backing);
        out->version = VELO_READ(node->version);
        out->disk_inode = VELO_READ(node->identity[VELO_ID_DISK].inode);
        const int type = VELO_READ(node->type);
        if ((sequence & 1) == 0 && !velo_read_retry(region, sequence))
            return type == VELO_REGULAR ? 0 : -ENOENT;
        if ((sequence & 1) != 0) { /* a stuck writer: entering repairs */
            velo_begin(region, &hold);
            velo_commit(region, &hold);
        }
    }
    velo_begin(region, &hold);
    const struct velo_node *node = velo_node_at(region, index);
    *out = (struct velo_snapshot){.state = node->state,
                                  .generation = node->generation,
                                  .links = node->links,
                                  .home = node->home,
                                  .backing = node->backing,
                                  .version = node->version,
                                  .disk_inode = node->identity[VELO_ID_DISK].inode};
    const int type = node->type;
    velo_commit(region, &hold);
    return type == VELO_REGULAR ? 0 : -ENOENT;
}

void velo_tick(struct velo_region *region, velo_node_id index)
{
    atomic_store_explicit(&velo_node_at(region, index)->access_tick,
                          (uint64_t)velo_clock_ns(CLOCK_MONOTONIC_COARSE), memory_order_relaxed);
}
