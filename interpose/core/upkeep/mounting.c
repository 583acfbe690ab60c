/* mounting.c - while a hosted directory has a second name: the tree is on disk, and we look for the end of it.
 *
 * mounts.c finds the mounts that there are. */
#include "core/disk/mounts.h"

#include "kernel/proc.h"
#include "core/disk/reconcile.h"
#include "core/upkeep/mounting.h"

#define SCAN_NS 100000000ull /* a look costs some 30 us */

static void flush_all(struct velo_region *region)
{
    struct velo_flush_result result;
    velo_flush_cold(region);
    velo_flush(region, 0, VELO_FLUSH_LOCK_PATIENCE_MS, &result);
}

void velo_mounts_apply(struct velo_region *region)
{
    if (atomic_load_explicit(&region->header->second_flush_due, memory_order_relaxed) == 0)
        return;
    flush_all(region); /* owed until it is done: several may, and one may be killed at it */
    if (atomic_exchange(&region->header->second_flush_due, 0) != 0)
        velo_escape(region, VELO_ESCAPE_MOUNT); /* counted when all of the tree can be seen there */
}

void velo_mounts_poll(struct velo_region *region)
{
    struct velo_header *header = region->header;
    struct velo_reconcile_result result;
    if (atomic_load_explicit(&header->second_names, memory_order_relaxed) == 0)
        return;
    velo_mounts_apply(region);
    const uint64_t now_ns = velo_boottime_ns();
    uint64_t due_ns = atomic_load(&header->mounts_scan_ns);
    if (now_ns < due_ns ||
        !atomic_compare_exchange_strong(&header->mounts_scan_ns, &due_ns, now_ns + SCAN_NS))
        return;
    if (velo_mounts_scan(region, NULL, 0) != 0)
        velo_reconcile(region, NULL, NULL, &result); /* looks again, and ends it */
}

/* ---- around a mount -------------------------------------------------------------------------- */

void velo_mount_begin(struct velo_region *region)
{
    velo_second_name_begins(region->header); /* first: what is made from now on is on disk */
    flush_all(region);
}

void velo_mount_end(struct velo_region *region)
{
    struct velo_reconcile_result result;
    atomic_fetch_add(&region->header->mounts_serial, 1);
    velo_reconcile(region, NULL, NULL, &result);
    velo_mounts_apply(region);
}

void velo_mounts_changed(struct velo_region *region)
{
    const struct velo_header *header = region->header;
    struct velo_reconcile_result result;
    const uint32_t below = atomic_load(&header->mounts_below);
    if (velo_mounts_scan(region, NULL, 0) != 0 || atomic_load(&header->mounts_below) != below)
        velo_reconcile(region, NULL, NULL, &result);
    velo_mounts_apply(region);
}
