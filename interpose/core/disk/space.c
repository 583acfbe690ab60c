/* space.c - staying under max_memory: what counts, when to ask, what to do when nobody answers.
 *
 * The limit is max_memory, or less where the file system is (room.c).  A slice's charge is the sum of
 * its files' charges; a file is charged what a write is about to need (velo_charge, in steps) and corrected to what tmpfs really holds when a shard looks
 * (velo_settle).  Above 90 % of the whole the shards evict; a client that wants to open for writing
 * then waits for them, so what is in flight is bounded by the writers. */
#include "core/arena/trace.h"
#include "core/tree/tree.h"

#include <errno.h>

#include "space.h"
#include "core/arena/lock.h"

#define WAIT_PERCENT 96u /* shards evict from 90 on by themselves; only beyond this we wait */
#define OPEN_BYTES (128u * 1024u) /* room one new file should find */

uint64_t velo_metadata_bytes(const struct velo_region *region)
{
    const struct velo_header *header = region->header;
    return header->fixed_bytes +
           (uint64_t)VELO_READ(header->nodes.committed) * header->nodes.slot_bytes +
           (uint64_t)VELO_READ(header->names.committed) * header->names.slot_bytes +
           (uint64_t)VELO_READ(header->chunks.committed) * header->chunks.slot_bytes;
}

uint64_t velo_used_bytes(const struct velo_region *region)
{
    uint64_t used = velo_metadata_bytes(region);
    for (uint32_t i = 0; i < region->header->shard_count; i++)
        used += VELO_READ(region->header->slices[i].used_bytes);
    return used;
}

/* Nobody can make that much room: not worth waiting for. */
static int never_fits(const struct velo_region *region, uint64_t bytes)
{
    return velo_metadata_bytes(region) + bytes > velo_limit_bytes(region);
}

static int fits(const struct velo_region *region, uint64_t bytes, unsigned percent)
{
    return velo_used_bytes(region) + bytes <= velo_limit_bytes(region) / 100 * percent;
}

int velo_space_for_open(struct velo_region *region, uint32_t shard, uint64_t bytes)
{
    bytes += OPEN_BYTES;
    if (velo_opaque_runs(region)) /* it could not see what is in memory */
        return -ENOSPC;
    if (fits(region, bytes, WAIT_PERCENT))
        return 0;
    if (never_fits(region, bytes))
        return -ENOSPC;
    VELO_TRACE(region, SPACE_ASKED, shard, bytes);
    if (region->ask != NULL && region->ask(region, VELO_ASK_SPACE, shard, bytes) == 0)
        return 0;
    return fits(region, bytes, 100) ? 0 : -ENOSPC;
}

/* `limit`: of all charges together. */
static int charge_once(struct velo_region *region, uint32_t index, uint64_t end, uint64_t limit,
                       uint32_t *shard)
{
    struct velo_hold hold;
    int rc = 0;
    velo_begin(region, &hold);
    const struct velo_node *node = velo_node_at(region, index);
    *shard = node->home;
    if (node->type == VELO_REGULAR && node->state == VELO_BACKED && end > node->charged) {
        const uint64_t wanted = (end + VELO_CHARGE_STEP - 1) / VELO_CHARGE_STEP * VELO_CHARGE_STEP;
        if (velo_used_bytes(region) + wanted - node->charged <= limit)
            velo_charge_set_locked(region, index, wanted);
        else
            rc = -ENOSPC;
    }
    return velo_finish(region, &hold, rc);
}

int velo_charge(struct velo_region *region, uint32_t index, uint64_t end)
{
    uint32_t shard = 0;
    if (end <= VELO_READ(velo_node_at(region, index)->charged))
        return 0;
    if (VELO_READ(velo_node_at(region, index)->state) == VELO_BACKED && never_fits(region, end))
        return -ENOSPC;
    for (int attempt = 0; attempt < 3; attempt++) {
        if (charge_once(region, index, end, velo_limit_bytes(region), &shard) == 0)
            return 0;
        if (region->ask == NULL ||
            region->ask(region, VELO_ASK_SPACE, shard,
                        end - VELO_READ(velo_node_at(region, index)->charged) + VELO_CHARGE_STEP) !=
                0)
            break;
    }
    return charge_once(region, index, end, velo_limit_bytes(region), &shard);
}

int velo_charge_beyond(struct velo_region *region, uint32_t index, uint64_t end)
{
    uint32_t shard = 0;
    return charge_once(region, index, end, region->header->max_memory_bytes, &shard);
}
