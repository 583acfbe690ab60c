/* space.c - staying under max_memory: what counts, when to ask, what to do when no shard answers.
 *
 * The limit is max_memory, or less where the file system is smaller (room.c).  A slice's charge is the
 * sum of its files' charges.  A file is charged what a write is about to need (velo_charge, in steps);
 * when a shard looks, the charge becomes what tmpfs really holds (velo_refresh_attributes).  Above 90 %
 * of the whole the shards evict; a client that wants to open for writing then waits for them, so what
 * is in flight is bounded by the writers. */
#include "core/arena/trace.h"
#include "core/tree/stamps.h"
#include "core/tree/tree.h"

#include <errno.h>

#include "kernel/os.h"
#include "space.h"
#include "core/arena/lock.h"

#define WAIT_PERCENT 96u /* shards evict from 90 on by themselves; only beyond this we wait */
#define OPEN_BYTES (128u * 1024u) /* room one new file should find */
#define PAGE_BYTES 4096u
#define REFUSED_NS 1000000000
#define GRANT_BYTES (128ull << 20) /* what a file may grow by while velo does not see it */

uint64_t velo_metadata_bytes(const struct velo_region *region)
{
    const struct velo_header *header = region->header;
    return header->fixed_bytes + header->library_bytes +
           (uint64_t)VELO_READ(header->nodes.committed) * header->nodes.slot_bytes +
           (uint64_t)VELO_READ(header->names.committed) * header->names.slot_bytes +
           (uint64_t)VELO_READ(header->chunks.committed) * header->chunks.slot_bytes;
}

uint64_t velo_used_bytes(const struct velo_region *region)
{
    uint64_t used = velo_metadata_bytes(region);
    for (uint32_t i = 0; i < region->shard_count; i++)
        used += VELO_READ(region->header->slices[i].used_bytes);
    return used;
}

/* No shard can make that much room: not worth waiting for. */
static int never_fits(const struct velo_region *region, uint64_t bytes)
{
    return velo_metadata_bytes(region) + bytes > velo_limit_bytes(region);
}

static int fits(const struct velo_region *region, uint64_t bytes, unsigned percent)
{
    return velo_used_bytes(region) + bytes <= velo_limit_bytes(region) / 100 * percent;
}

/* Shards that have nothing to evict say so after 250 ms, and would say the same to the next process. So no
 * process asks again for REFUSED_NS, and a file that finds no room goes to the disk at once. */
static int ask(struct velo_region *region, uint32_t shard, uint64_t bytes)
{
    _Atomic int64_t *refused_ns = &region->header->refused_ns;
    if (region->ask == NULL || velo_clock_ns(CLOCK_MONOTONIC_COARSE) -
                                       atomic_load_explicit(refused_ns, memory_order_relaxed) <
                                   REFUSED_NS)
        return -ENOSPC;
    VELO_TRACE(region, SPACE_ASKED, shard, bytes);
    const int rc = region->ask(region, VELO_ASK_SPACE, shard, bytes);
    if (rc != 0)
        atomic_store_explicit(refused_ns, velo_clock_ns(CLOCK_MONOTONIC_COARSE),
                              memory_order_relaxed);
    return rc;
}

int velo_space_for_open(struct velo_region *region, uint32_t shard, uint64_t bytes)
{
    bytes += OPEN_BYTES;
    if (fits(region, bytes, WAIT_PERCENT))
        return 0;
    if (never_fits(region, bytes))
        return -ENOSPC;
    if (ask(region, shard, bytes) == 0)
        return 0;
    return fits(region, bytes, 100) ? 0 : -ENOSPC;
}

static uint64_t rounded(uint64_t bytes, uint64_t step)
{
    return (bytes + step - 1) / step * step;
}

int velo_charge_locked(struct velo_region *region, velo_node_id index, uint64_t end, uint64_t limit)
{
    const struct velo_node *node = velo_node_at(region, index);
    if (node->type != VELO_REGULAR || node->state != VELO_BACKED || end <= node->charged)
        return 0;
    const uint64_t used = velo_used_bytes(region) - node->charged;
    const uint64_t ahead = rounded(end, VELO_CHARGE_STEP), least = rounded(end, PAGE_BYTES);
    if (used + least > limit)
        return -ENOSPC;
    velo_charge_set_locked(region, index, used + ahead <= limit ? ahead : least);
    return 0;
}

static int charge_once(struct velo_region *region, velo_node_id index, uint64_t end, uint64_t limit,
                       uint32_t *shard)
{
    struct velo_hold hold;
    velo_begin(region, &hold);
    *shard = velo_node_at(region, index)->home;
    return velo_finish(region, &hold, velo_charge_locked(region, index, end, limit));
}

int velo_charge(struct velo_region *region, velo_node_id index, uint64_t end)
{
    uint32_t shard = 0;
    if (end <= VELO_READ(velo_node_at(region, index)->charged))
        return 0;
    if (VELO_READ(velo_node_at(region, index)->state) == VELO_BACKED && never_fits(region, end))
        return -ENOSPC;
    for (int attempt = 0; attempt < 3; attempt++) {
        if (charge_once(region, index, end, velo_limit_bytes(region), &shard) == 0)
            return 0;
        if (ask(region, shard,
                end - VELO_READ(velo_node_at(region, index)->charged) + VELO_CHARGE_STEP) != 0)
            break;
    }
    return charge_once(region, index, end, velo_limit_bytes(region), &shard);
}

uint64_t velo_charged(const struct velo_region *region, velo_node_id index)
{
    return VELO_READ(velo_node_at(region, index)->charged);
}

void velo_charge_anyway(struct velo_region *region, velo_node_id index, uint64_t end)
{
    uint32_t shard = 0;
    charge_once(region, index, end, UINT64_MAX, &shard);
    VELO_TRACE(region, OVERDRAWN, index.slot, end);
}

int velo_has_grant(const struct velo_region *region)
{
    return velo_used_bytes(region) + GRANT_BYTES <= velo_limit_bytes(region);
}
