/* recover.c - the steps of recovery, in order; and attaching, which says that these are the steps.
 *
 * The lock finds a dead owner and calls up to here through velo_region.recover, for what has to be
 * repaired belongs to floors above it: renames, and rights that were lent. */
#include "recover.h"

#include "core/arena/lock.h"
#include "core/disk/rights.h"
#include "core/disk/reconcile.h"
#include "core/arena/region.h"
#include "core/arena/trace.h"
#include "core/tree/tree.h"
#include "core/upkeep/opaque.h"
#include "core/calls/rename.h"

static void mark_stale(struct velo_region *region, velo_node_id directory)
{
    struct velo_node *node = velo_node_at(region, directory);
    if (velo_is_node(directory) && node->type == VELO_DIRECTORY)
        __atomic_store_n(&node->flags, node->flags | VELO_NODE_STALE, __ATOMIC_RELAXED);
}

/* May itself be cut short anywhere: each step is right when it is done again. */
void velo_recover_locked(struct velo_region *region)
{
    struct velo_header *header = region->header;
    VELO_TRACE(region, RECOVERED, 0, 0);
    velo_undo_locked(region);
    velo_readers_go_on(header);
    const velo_node_id with_rights = atomic_load(&header->with_rights),
                       other = atomic_load(&header->with_rights_other);
    if (velo_rename_recover(region) != 0)
        velo_undo_locked(region);
    velo_readers_go_on(header);
    atomic_store(&header->with_rights_other,
                 other); /* the rename may have lent rights of its own */
    atomic_store(&header->with_rights, with_rights);
    velo_rights_recover(region);
    mark_stale(region, atomic_load(&header->disk_step));
    mark_stale(region, atomic_load(&header->disk_step_other));
    velo_disk_step_over(header);
    atomic_fetch_add_explicit(&header->recoveries, 1, memory_order_relaxed);
}

int velo_region_attach(struct velo_region *region, const char *directory)
{
    const int rc = velo_region_map(region, directory);
    if (rc == 0) {
        region->recover = velo_recover_locked;
        region->poll = velo_opaque_poll;
        region->lost = velo_directory_lost;
        region->fresh = velo_opaque_compare;
    }
    return rc;
}
