/* retiring.c - a name is made where there is no room for one: the directory is retired, with what it holds.
 *
 * Everything is put, in order; what is below leaves memory; and disk/retire.c does the rest, if no process
 * has a file there open in memory. */
#include <errno.h>

#include "core/disk/leave.h"
#include "core/disk/retire.h"
#include "core/tree/tree.h"
#include "core/arena/layout.h"
#include "core/tree/outcome.h"
#include "core/tree/snapshot.h"
#include "kernel/os.h"

#define FAILED_NS 1000000000 /* no process tries again so soon: it is for the sake of the limit */
#define TRIES_MAX 5 /* files that are open now may be closed in a moment */
#define PAUSE_NS 10000000l
#define FLUSH_TIMEOUT_MS 10000u

static void leave_below(struct velo_region *region, velo_node_id directory)
{
    const uint32_t used = velo_nodes_used(region);
    for (velo_node_id i = velo_node_from(1); i.slot < used; i.slot++) {
        const struct velo_node *node = velo_node_at(region, i);
        if (VELO_READ(node->type) == VELO_REGULAR && VELO_READ(node->state) != VELO_DISK &&
            velo_lies_in(region, node, directory))
            velo_leave_memory(region, i);
    }
}

int velo_retire(struct velo_region *region, velo_node_id directory)
{
    struct velo_flush_result result;
    _Atomic int64_t *failed_ns = &region->header->retire_failed_ns;
    const int64_t now = velo_clock_ns(CLOCK_MONOTONIC_COARSE);
    if (now - atomic_load_explicit(failed_ns, memory_order_relaxed) < FAILED_NS)
        return -ENOSPC;
    for (int tries = 0; tries < TRIES_MAX; tries++) {
        if (tries > 0)
            velo_os_pause(PAUSE_NS);
        velo_flush(region, 0, FLUSH_TIMEOUT_MS, &result); /* in order, and the directories' times */
        leave_below(region, directory);
        if (velo_retire_found(region, directory) == 0)
            return 0;
    }
    atomic_store_explicit(failed_ns, now, memory_order_relaxed);
    return -ENOSPC;
}
