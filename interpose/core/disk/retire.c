/* retire.c - the table of names is full: a directory's names leave memory.
 *
 * What is below it is put, leaves memory and is forgotten, and the directory becomes the kernel's
 * (VELO_NODE_RETIRED), as something that is mounted is: paths that lead through it are outside. So names are not
 * limited by what memory holds; those for which there is no room are as fast as the disk.
 * All or nothing, under one hold: a file is either known here or there. */
#include "retire.h"

#include <errno.h>
#include <string.h>

#include "core/arena/trace.h"
#include "core/tree/tree.h"
#include "kernel/os.h"
#include "space.h"

#define SLOTS_KEPT 64u /* for what cannot retire a directory: rename, link */
#define LEAST_BYTES (512u << 10) /* of names, however little memory there is */

/* Few are left of what is committed, and more may not be committed, or is not there. */
static int is_scarce(const struct velo_pool *pool, int may_grow)
{
    const uint32_t used = VELO_READ(pool->used);
    if (VELO_READ(pool->free_count) >= SLOTS_KEPT)
        return 0;
    return (!may_grow && used + SLOTS_KEPT > VELO_READ(pool->committed)) ||
           used + SLOTS_KEPT > pool->capacity;
}

int velo_names_are_scarce(const struct velo_region *region)
{
    const struct velo_header *header = region->header;
    const uint64_t fixed = header->fixed_bytes + header->library_bytes;
    const uint64_t max = header->max_memory_bytes, rest = max > fixed ? max - fixed : 0;
    const uint64_t most = fixed + (rest / 4 * 3 > LEAST_BYTES ? rest / 4 * 3 : LEAST_BYTES);
    const int may_grow = velo_metadata_bytes(region) < most;
    return is_scarce(&header->nodes, may_grow) || is_scarce(&header->names, may_grow) ||
           is_scarce(&header->chunks, may_grow);
}

int velo_lies_in(const struct velo_region *region, const struct velo_node *node, uint32_t above)
{
    for (uint32_t depth = 0; depth < VELO_DEPTH_MAX; depth++) {
        const uint32_t name = VELO_READ(node->first_name);
        const uint32_t parent = name == 0 ? 0 : VELO_READ(velo_name_at(region, name)->parent);
        if (parent == above || parent == 0)
            return parent == above;
        node = velo_node_at(region, parent);
    }
    return 0;
}

/* Would the kernel say the same of it, and does nobody hear of it from us? */
static int may_retire(const struct velo_region *region, const struct velo_node *node)
{
    if ((node->flags & (VELO_NODE_WATCHED | VELO_NODE_MOUNT | VELO_NODE_TIMES)) != 0)
        return 0;
    if (node->type == VELO_DIRECTORY)
        return 1;
    if (node->links != 1)
        return 0;
    return node->type != VELO_REGULAR || (node->state == VELO_DISK && velo_on_disk(region, node) &&
                                          !node->identity[VELO_ID_ARENA].linked);
}

static int retire_locked(struct velo_region *region, uint32_t directory)
{
    struct velo_node *top = velo_node_at(region, directory);
    if (top->type != VELO_DIRECTORY || !may_retire(region, top))
        return -EBUSY;
    for (uint32_t i = 1; i < region->header->nodes.used; i++) {
        const struct velo_node *node = velo_node_at(region, i);
        if (node->type != VELO_NONE && node->links > 0 && velo_lies_in(region, node, directory) &&
            !may_retire(region, node))
            return -EBUSY;
    }
    velo_set32(region, &top->flags, top->flags | VELO_NODE_RETIRED);
    velo_set32(region, &region->header->retired_count, region->header->retired_count + 1);
    velo_identity_clear_locked(region, directory, VELO_ID_DISK);
    return 0;
}

/* A file that is as the disk has it, or a directory without entries, somewhere below. */
static int may_forget(const struct velo_region *region, uint32_t index, uint32_t directory)
{
    const struct velo_node *node = velo_node_at(region, index);
    return VELO_READ(node->type) != VELO_NONE && VELO_READ(node->links) > 0 &&
           VELO_READ(node->first_entry) == 0 && velo_lies_in(region, node, directory) &&
           may_retire(region, node);
}

static int forget_one(struct velo_region *region, uint32_t index, uint32_t directory)
{
    struct velo_hold hold;
    if (!may_forget(region, index, directory))
        return 0;
    velo_begin(region, &hold);
    const int may = may_forget(region, index, directory);
    if (may) {
        velo_name_remove_locked(region, velo_node_at(region, index)->first_name);
        if (velo_node_at(region, index)->links == 0)
            velo_node_drop_locked(region, index);
    }
    velo_commit(region, &hold);
    return may;
}

/* No path leads to them any more, and whoever came along before is turned back (velo_is_retired). What is not
 * as the disk has it all the same, such as a name that was linked there, stays until it is put. */
static void forget_below(struct velo_region *region, uint32_t directory)
{
    for (int forgotten = 1; forgotten;) { /* deepest first: once for each floor */
        forgotten = 0;
        for (uint32_t i = 1; i < VELO_READ(region->header->nodes.used); i++)
            forgotten |= forget_one(region, i, directory);
    }
}

int velo_retire_found(struct velo_region *region, uint32_t directory)
{
    struct velo_hold hold;
    velo_begin(region, &hold);
    if (velo_finish(region, &hold, retire_locked(region, directory)) != 0)
        return -ENOSPC;
    VELO_TRACE(region, RETIRED, directory, 0);
    forget_below(region, directory);
    return 0;
}
