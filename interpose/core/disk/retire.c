/* retire.c - the table of names is full: a directory's names leave memory.
 *
 * All below the directory is put, leaves memory and is forgotten. The directory becomes the kernel's
 * (VELO_NODE_RETIRED), as a mount is: paths that lead through it are outside. So memory does not limit the number
 * of names; names for which there is no room are as fast as the disk.
 * A directory that cannot be listed (perhaps another user's, which may be searched and no more) is the kernel's in
 * the same way, until it can be listed (VELO_NODE_CLOSED): that it is empty would be a guess.
 * All or nothing, under one hold: a file is either known here or there. A file that has names elsewhere, too, is on
 * disk for good, like a file that was linked there (VELO_NODE_LINKED_OUTSIDE). */
#include "retire.h"

#include <errno.h>
#include <string.h>

#include "core/arena/trace.h"
#include "core/tree/tree.h"
#include "kernel/os.h"
#include "space.h"

#define SLOTS_KEPT 64u /* for what cannot retire a directory: rename, link */
#define FORGOTTEN_AT_ONCE                                                                          \
    8u /* files in one hold: others wait meanwhile, and the undo log is finite */
#define MARKED_AT_ONCE 64u
#define MORE 1
#define NAMES_MAX                                                                                  \
    (1u << 17) /* of one file: more than a disk takes; ends a walk over a list that changes */
#define LEAST_BYTES (512u << 10) /* of names, however little memory there is */

/* Few slots are left of those that are committed, and no more may be committed, or there are no more. */
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

static int is_below(const struct velo_region *region, velo_node_id directory, velo_node_id above)
{
    for (uint32_t depth = 0; velo_is_node(directory) && depth < VELO_DEPTH_MAX; depth++) {
        if (velo_same_node(directory, above))
            return 1;
        const velo_name_id name = VELO_READ_ID(velo_node_at(region, directory)->first_name);
        directory =
            velo_is_name(name) ? VELO_READ_ID(velo_name_at(region, name)->parent) : VELO_NO_NODE;
    }
    return 0;
}

int velo_lies_in(const struct velo_region *region, const struct velo_node *node, velo_node_id above)
{
    velo_name_id name = VELO_READ_ID(node->first_name);
    for (uint32_t steps = 0; velo_is_name(name) && steps < NAMES_MAX;
         name = velo_next_of_node(region, name, &steps))
        if (is_below(region, VELO_READ_ID(velo_name_at(region, name)->parent), above))
            return 1;
    return 0;
}

/* Would the kernel say the same of the node, and does no watcher hear of it from us? */
static int may_retire(const struct velo_region *region, const struct velo_node *node)
{
    if ((node->flags & (VELO_NODE_WATCHED | VELO_NODE_MOUNT | VELO_NODE_TIMES)) != 0)
        return 0;
    return node->type != VELO_REGULAR || (node->state == VELO_DISK && velo_on_disk(region, node) &&
                                          !node->identity[VELO_ID_ARENA].linked);
}

/* The file may have another name, which stays known; then it is on disk for good. */
static int has_to_be_marked(const struct velo_node *node)
{
    return node->type != VELO_DIRECTORY && node->links > 1 &&
           (node->flags & VELO_NODE_LINKED_OUTSIDE) == 0;
}

/* ---- all names below a directory, in the order of a walk ------------------------------------- */

struct walk {
    struct velo_region *region;
    velo_node_id top;
    velo_node_id directory;
    velo_name_id at; /* the name before which the walk stands; none: at the end of its directory */
    uint32_t left;
};

static struct walk walk_below(struct velo_region *region, velo_node_id top)
{
    return (struct walk){region, top, top, velo_node_at(region, top)->first_entry,
                         velo_walk_steps_max(region)};
}

/* The next name, or none; a directory's name comes after all below it. The caller may remove the name: the walk
 * goes on. */
static velo_name_id walk_next(struct walk *walk)
{
    struct velo_region *region = walk->region;
    const struct velo_node *node;
    while (velo_is_name(walk->at) && walk->left > 0) { /* down */
        walk->left--;
        const struct velo_name *name = velo_name_at(region, walk->at);
        node = velo_node_at(region, name->node);
        if (node->type != VELO_DIRECTORY || !velo_is_name(node->first_entry)) {
            const velo_name_id found = walk->at;
            walk->at = name->next_entry;
            return found;
        }
        walk->directory = name->node;
        walk->at = node->first_entry;
    }
    if (velo_same_node(walk->directory, walk->top) || walk->left == 0)
        return VELO_NO_NAME;
    walk->left--;
    const velo_name_id above = velo_node_at(region, walk->directory)->first_name; /* up */
    walk->directory = velo_name_at(region, above)->parent;
    walk->at = velo_name_at(region, above)->next_entry;
    return above;
}

/* MORE: some were marked, others remain to be. */
static int retire_locked(struct velo_region *region, velo_node_id directory, uint32_t why)
{
    struct velo_node *top = velo_node_at(region, directory);
    if (top->type != VELO_DIRECTORY || !may_retire(region, top))
        return -EBUSY;
    struct walk walk = walk_below(region, directory);
    uint32_t marked = 0;
    for (velo_name_id name; velo_is_name(name = walk_next(&walk));) {
        struct velo_node *node = velo_node_at(region, velo_name_at(region, name)->node);
        if (!may_retire(region, node))
            return -EBUSY;
        if (!has_to_be_marked(node))
            continue;
        velo_set32(region, &node->flags, node->flags | VELO_NODE_LINKED_OUTSIDE);
        if (++marked == MARKED_AT_ONCE)
            return MORE;
    }
    velo_set32(region, &top->flags, top->flags | VELO_NODE_RETIRED | why);
    velo_set32(region, &region->header->retired_count, region->header->retired_count + 1);
    velo_identity_clear_locked(region, directory, VELO_ID_DISK);
    return 0;
}

/* Some names less, in one hold. 0: what is left stays. */
static int forget_some(struct velo_region *region, velo_node_id directory)
{
    struct velo_hold hold;
    unsigned forgotten = 0;
    velo_begin(region, &hold);
    struct walk walk = walk_below(region, directory);
    for (velo_name_id name;
         forgotten < FORGOTTEN_AT_ONCE && velo_is_name(name = walk_next(&walk));) {
        const velo_node_id index = velo_name_at(region, name)->node;
        const struct velo_node *node = velo_node_at(region, index);
        if (velo_is_name(node->first_entry) || !may_retire(region, node))
            continue;
        velo_name_remove_locked(region, name);
        if (node->links == 0)
            velo_node_drop_locked(region, index);
        forgotten++;
    }
    velo_commit(region, &hold);
    return forgotten != 0;
}

/* No path leads to these names any more, and a process that came along before is turned back
 * (velo_is_retired). What is not as the disk has it all the same, such as a name that was linked there,
 * stays until it is put. */
static void forget_below(struct velo_region *region, velo_node_id directory)
{
    const uint32_t names = velo_at_most(&region->header->names.used, region->names.count);
    for (uint32_t left = names / FORGOTTEN_AT_ONCE + 1; left > 0 && forget_some(region, directory);
         left--) {
    }
}

static int retire(struct velo_region *region, velo_node_id directory, uint32_t why)
{
    struct velo_hold hold;
    int rc;
    do {
        velo_begin(region, &hold);
        rc = velo_finish(region, &hold, retire_locked(region, directory, why));
    } while (rc == MORE);
    if (rc == 0)
        forget_below(region, directory);
    return rc;
}

int velo_retire_found(struct velo_region *region, velo_node_id directory)
{
    if (retire(region, directory, 0) != 0)
        return -ENOSPC;
    VELO_TRACE(region, RETIRED, directory.slot, 0);
    return 0;
}

/* A process that is another user just for now may not list what it could list as its own user. */
static int is_himself(void)
{
    uid_t real = 0, effective = 0, saved = 0;
    velo_sys3(SYS_getresuid, velo_word(&real), velo_word(&effective), velo_word(&saved));
    return real == effective && saved == effective;
}

/* The owner closed the directory, so the owner's processes know what is in it: only root can have made other
 * names there. A process that may not list it just now learns no more than what was found before. */
static int knows_better(const struct velo_node *node)
{
    const int is_own = VELO_READ(node->uid) == (uint32_t)velo_sys0(SYS_geteuid);
    return is_own || (!is_himself() && velo_is_name(VELO_READ_ID(node->first_entry)));
}

void velo_close_directory(struct velo_region *region, velo_node_id directory)
{
    const struct velo_node *node = velo_node_at(region, directory);
    if ((VELO_READ(node->flags) & VELO_NODE_RETIRED) != 0 || knows_better(node))
        return;
    if (retire(region, directory, VELO_NODE_CLOSED) == 0)
        VELO_TRACE(region, CLOSED, directory.slot, 0);
}

void velo_reopen_directory(struct velo_region *region, velo_node_id directory)
{
    struct velo_hold hold;
    velo_begin(region, &hold);
    struct velo_node *node = velo_node_at(region, directory);
    const uint32_t closed = VELO_NODE_CLOSED | VELO_NODE_RETIRED;
    if (node->type == VELO_DIRECTORY && (node->flags & VELO_NODE_CLOSED) != 0) {
        const struct velo_identity *disk = &node->identity[VELO_ID_DISK];
        velo_set32(region, &node->flags, (node->flags & ~closed) | VELO_NODE_STALE);
        velo_identity_set_locked(region, directory, VELO_ID_DISK, disk->device, disk->inode);
    }
    velo_commit(region, &hold);
}
