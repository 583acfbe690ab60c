/* across.c - rename across the border of hosted directories.
 *
 * All that leaves or comes in is put on disk first, the kernel renames, and the namespace takes in the
 * result.  A file that keeps another name on the other side is one file inside and outside from then on
 * (VELO_NODE_LINKED_OUTSIDE), so it leaves memory. */
#include "core/tree/tree.h"

#include <errno.h>
#include <fcntl.h>

#include "core/disk/copy.h"
#include "core/disk/leave.h"
#include "core/arena/layout.h"
#include "core/tree/outcome.h"
#include "core/tree/snapshot.h"
#include "kernel/lease.h"
#include "core/disk/rights.h"
#include "kernel/os.h"
#include "core/disk/writeback.h"
#include "core/disk/reconcile.h"
#include "core/presence/watch.h"
#include "core/tree/path.h"
#include "core/disk/root.h"
#include "core/calls/setattr.h"
#include "core/calls/again.h"
#include "core/calls/across.h"

enum { NOREPLACE = 1, EXCHANGE = 2 }; /* RENAME_..., which only newer headers have */

static int has_name_below(const struct velo_region *region, const struct velo_node *node,
                          velo_node_id directory)
{
    uint32_t steps = 0;
    for (velo_name_id name = node->first_name; velo_is_name(name);
         name = velo_next_of_node(region, name, &steps))
        if (velo_is_below(region, velo_name_at(region, name)->parent, directory))
            return 1;
    return 0;
}

/* A file that is in the store only must come to memory to be put. 0, or -EIO: it would stay behind. */
static int fetch_below(struct velo_region *region, velo_node_id directory)
{
    const uint32_t used = velo_nodes_used(region);
    for (velo_node_id index = velo_node_from(1); index.slot < used; index.slot++) {
        const struct velo_node *node = velo_node_at(region, index);
        struct velo_hold hold;
        if (VELO_READ(node->type) != VELO_REGULAR || VELO_READ(node->state) != VELO_COLD)
            continue;
        velo_begin(region, &hold);
        const int below = has_name_below(region, node, directory);
        velo_commit(region, &hold);
        if (below && velo_load(region, index) != 0)
            return -EIO;
    }
    return 0;
}

/* The next node after `after` that has a name below `directory` and is not on disk as it is now; or none. */
static velo_node_id next_left_locked(const struct velo_region *region, velo_node_id directory,
                                     velo_node_id after)
{
    const uint32_t used = velo_nodes_used(region);
    for (velo_node_id index = velo_node_from(after.slot + 1); index.slot < used; index.slot++) {
        const struct velo_node *node = velo_node_at(region, index);
        if (node->type == VELO_REGULAR && !velo_on_disk(region, node) &&
            has_name_below(region, node, directory))
            return index;
    }
    return VELO_NO_NODE;
}

velo_node_id velo_next_left(struct velo_region *region, velo_node_id directory, velo_node_id after)
{
    struct velo_hold hold;
    velo_begin(region, &hold);
    const velo_node_id index = next_left_locked(region, directory, after);
    velo_commit(region, &hold);
    return index;
}

/* A directory leaves, and perhaps one of this file's names with it; then the file leaves memory. */
static void leave_with(struct velo_region *region, velo_node_id index, velo_node_id directory)
{
    struct velo_node *node = velo_node_at(region, index);
    struct velo_hold hold;
    velo_begin(region, &hold);
    const uint32_t generation = node->generation;
    const int leaves =
        node->type != VELO_DIRECTORY && node->links > 1 && has_name_below(region, node, directory);
    velo_commit(region, &hold);
    if (!leaves)
        return;
    if (node->type == VELO_REGULAR)
        velo_evict_patiently(region, index);
    velo_begin(region, &hold);
    if (node->generation == generation && (node->type != VELO_REGULAR || node->state == VELO_DISK))
        velo_set32(region, &node->flags, node->flags | VELO_NODE_LINKED_OUTSIDE);
    velo_commit(region, &hold);
}

static void leave_with_all(struct velo_region *region, velo_node_id directory)
{
    const uint32_t used = velo_nodes_used(region);
    for (velo_node_id index = velo_node_from(1); index.slot < used; index.slot++) {
        const struct velo_node *node = velo_node_at(region, index);
        if (VELO_READ(node->type) > VELO_NONE && VELO_READ(node->links) > 1)
            leave_with(region, index, directory);
    }
}

static int writeback_file(struct velo_region *region, struct velo_place *place, int leaves)
{
    const int rc = velo_writeback_place(region, place);
    if (rc > 0 && leaves) /* the bytes that its writer writes from now on would stay behind */
        return -EXDEV;
    if (rc == 0 && leaves && VELO_READ(velo_node_at(region, place->at.node)->links) > 1)
        velo_evict_patiently(region, place->at.node);
    return rc < 0 ? rc : 0;
}

static int writeback_directory(struct velo_region *region, velo_node_id directory, int leaves)
{
    struct velo_flush_result result;
    int rc = leaves ? fetch_below(region, directory) : 0;
    if (rc == 0)
        rc = velo_flush(region, 0, VELO_FLUSH_LOCK_PATIENCE_MS, &result);
    if (rc == 0 && result.first_error != 0 &&
        velo_is_node(velo_next_left(region, directory, VELO_NO_NODE)))
        rc = result.first_error; /* whatever else the disk refused */
    if (rc == 0 && leaves)
        leave_with_all(region, directory);
    return rc;
}

int velo_writeback_leaving(struct velo_region *region, velo_node_id directory)
{
    return writeback_directory(region, directory, 1);
}

int velo_has_left_locked(const struct velo_region *region, velo_node_id directory)
{
    return velo_is_node(next_left_locked(region, directory, VELO_NO_NODE));
}

/* Whatever the place is, have it on disk in its present form. */
static int writeback_place(struct velo_region *region, struct velo_place *place, int leaves)
{
    if (place->at.kind != VELO_HOSTED || place->at.type == VELO_NONE)
        return 0;
    if (place->at.type == VELO_REGULAR)
        return writeback_file(region, place, leaves);
    return place->at.type == VELO_DIRECTORY ? writeback_directory(region, place->at.node, leaves)
                                            : 0;
}

/* A process that wrote the file before it came in goes on: its size and times are the disk's to say. */
static void believe_no_size(struct velo_region *region, struct velo_place *place)
{
    if (velo_walk_again(region, VELO_WALK_NOFOLLOW, place) != 0 || place->at.type != VELO_REGULAR)
        return;
    const int fd = velo_open_file_with_rights(region, place->at.node, VELO_ID_DISK,
                                              place->text.path, O_NONBLOCK | O_NOFOLLOW);
    const int quiet = fd >= 0 && velo_nobody_writes(fd);
    if (fd >= 0)
        velo_os_close(fd);
    if (quiet)
        return;
    struct velo_hold hold;
    velo_begin(region, &hold);
    struct velo_node *node = velo_node_at(region, place->at.node);
    if (node->type == VELO_REGULAR && node->state == VELO_DISK)
        velo_set64(region, &node->refreshed, 0);
    velo_commit(region, &hold);
}

/* After the kernel's rename: the namespace looks at the disk. */
static int take_in(struct velo_region *region, struct velo_place *place)
{
    if (place->at.kind != VELO_HOSTED)
        return -ENOENT;
    if (velo_is_node(place->at.node) && velo_same_node(place->at.node, place->at.root)) {
        velo_root_forget(region, place->at.root);
        return -ENOENT;
    }
    return velo_revalidate(region, place);
}

/* Or -errno: there is nothing. */
static int is_directory(const struct velo_place *place)
{
    struct stat stat;
    if (place->at.kind == VELO_HOSTED)
        return place->at.type == VELO_NONE ? -ENOENT : place->at.type == VELO_DIRECTORY;
    const int rc = velo_os_lstat(place->text.path, &stat);
    return rc != 0 ? rc : S_ISDIR(stat.st_mode);
}

/* Errors that the kernel cannot find, because a file is not on disk, or `path` lacks the slash at its end. */
static int check_across(const struct velo_place *from, const struct velo_place *to, unsigned flags)
{
    const int directory = is_directory(from);
    const int last = (flags & EXCHANGE) != 0 ? is_directory(to) : directory;
    if (directory < 0 || last < 0)
        return directory < 0 ? directory : last;
    if ((!directory && from->asked.must_be_directory) || (!last && to->asked.must_be_directory))
        return -ENOTDIR;
    if (directory && (flags & EXCHANGE) == 0 && to->at.kind == VELO_HOSTED &&
        to->at.type == VELO_REGULAR)
        return (flags & NOREPLACE) != 0 ? -EEXIST : -ENOTDIR;
    return 0;
}

struct left {
    velo_node_id node;
    uint32_t generation;
};

/* A name of the file went out, perhaps. */
static void see_other_names(struct velo_region *region, const struct left *left)
{
    const struct velo_node *node = velo_node_at(region, left->node);
    if (velo_is_node(left->node) && VELO_READ(node->generation) == left->generation &&
        VELO_READ(node->state) != VELO_BACKED && VELO_READ(node->links) != 0)
        velo_unbacked_changed(region, left->node, 0);
}

static velo_node_id parent_of(const struct velo_place *place)
{
    return place->at.kind == VELO_HOSTED ? place->at.parent : VELO_NO_NODE;
}

/* The place is still what the walk found. */
static int same_place_locked(struct velo_region *region, struct velo_place *place)
{
    if (!velo_is_node(parent_of(place)))
        return 0;
    const velo_name_id name = velo_name_there(region, place);
    const velo_node_id node = velo_is_name(name) ? velo_name_at(region, name)->node : VELO_NO_NODE;
    if (!velo_same_node(node, place->at.node))
        return VELO_AGAIN;
    return velo_fresh_path(region, place);
}

/* -EXDEV: a file was opened to be written since it was put, and would lose what is written there. */
static int may_leave_locked(const struct velo_region *region, const struct velo_place *place)
{
    const struct velo_node *node = velo_node_at(region, place->at.node);
    if (place->at.kind != VELO_HOSTED || !velo_is_node(place->at.node))
        return 0;
    const int left = place->at.type == VELO_DIRECTORY
                         ? velo_has_left_locked(region, place->at.node)
                         : node->type == VELO_REGULAR && !velo_on_disk(region, node);
    return left ? -EXDEV : 0;
}

struct crossing {
    struct velo_place *from, *to;
    unsigned flags;
    int leaves;
    int stale_from, stale_to; /* marked by us */
};

static int cross_locked(struct velo_region *region, struct crossing *c)
{
    const velo_node_id from = parent_of(c->from), to = parent_of(c->to);
    int rc = same_place_locked(region, c->from);
    if (rc == 0)
        rc = same_place_locked(region, c->to);
    if (rc == 0 && c->leaves)
        rc = may_leave_locked(region, c->from);
    if (rc == 0 && c->leaves && (c->flags & EXCHANGE) != 0)
        rc = may_leave_locked(region, c->to);
    if (rc != 0)
        return rc;
    velo_disk_step_locked(region, velo_is_node(from) ? from : to, to);
    rc = velo_os_renameat(AT_FDCWD, c->from->text.path, AT_FDCWD, c->to->text.path, c->flags);
    if (rc == 0) {
        c->stale_from = velo_stale_locked(region, from);
        c->stale_to = velo_stale_locked(region, to);
    }
    return rc;
}

static int writeback_both(struct velo_region *region, const struct crossing *c)
{
    int rc = writeback_place(region, c->from, c->leaves);
    /* A file that will be replaced need not be on disk. */
    if (rc == 0 && (c->to->at.type != VELO_REGULAR || (c->flags & (EXCHANGE | NOREPLACE)) != 0))
        rc = writeback_place(region, c->to, c->leaves);
    return rc;
}

int velo_rename_across(struct velo_region *region, struct velo_place *from, struct velo_place *to,
                       unsigned flags, int leaves)
{
    struct crossing crossing = {from, to, flags, leaves, 0, 0};
    const struct left left = {from->at.type == VELO_DIRECTORY ? VELO_NO_NODE : from->at.node,
                              from->at.generation};
    const uint64_t recoveries = atomic_load(&region->header->recoveries);
    struct velo_hold hold;
    int rc = check_across(from, to, flags);
    if (rc == 0)
        rc = writeback_both(region, &crossing);
    if (rc != 0)
        return rc;
    velo_escape(region, VELO_ESCAPE_ACROSS);
    velo_begin(region, &hold);
    rc = velo_finish(region, &hold, cross_locked(region, &crossing));
    if (rc != 0)
        return rc;
    const int is_from = take_in(region, from), is_to = take_in(region, to);
    if (crossing.stale_from) /* before any walk, which would look at all of the directory */
        velo_not_stale(region, from->at.parent, recoveries);
    if (crossing.stale_to)
        velo_not_stale(region, to->at.parent, recoveries);
    if (is_from == 0)
        believe_no_size(region, from);
    if (is_to == 0)
        believe_no_size(region, to);
    if (crossing.leaves)
        see_other_names(region, &left);
    return 0;
}
