/* leave.c - a regular file leaves memory for its place on disk, now.  See leave.h. */
#include "leave.h"

#include <errno.h>

#include "copy.h"
#include "core/arena/lock.h"
#include "core/presence/watch.h"
#include "kernel/os.h"

#define EVICTIONS_MAX 100
#define PAUSE_NS 1000000

int velo_leave_memory(struct velo_region *region, velo_node_id index)
{
    const struct velo_node *node = velo_node_at(region, index);
    int rc = velo_load(region, index); /* only what is in memory can be put */
    if (rc != 0 || VELO_READ(node->type) != VELO_REGULAR || VELO_READ(node->state) != VELO_BACKED)
        return rc;
    rc = velo_writeback(region, index, 0);
    return rc != 0 ? (rc < 0 ? rc : -EBUSY) : velo_evict(region, index);
}

int velo_evict_patiently(struct velo_region *region, velo_node_id index)
{
    for (int attempt = 1;; attempt++) {
        const int rc = velo_evict(region, index);
        if (rc != -EBUSY || attempt == EVICTIONS_MAX)
            return rc;
        velo_os_pause(PAUSE_NS);
    }
}

void velo_arrives(struct velo_region *region, const struct velo_place *from,
                  const struct velo_place *to)
{
    if (from->at.kind == VELO_HOSTED && to->at.kind == VELO_HOSTED &&
        from->at.type == VELO_REGULAR && velo_takes_watched_name(region, to))
        velo_leave_memory(region, from->at.node);
}
