/* exchange.c - RENAME_EXCHANGE within hosted directories.
 *
 * Both files are put first, so that both names stand on disk; then the kernel exchanges those and the
 * namespace its own, in one hold of the lock.  A process that has one of the files open keeps it. */
#include "move.h"

#include <errno.h>
#include <fcntl.h>

#include "core/disk/disk_names.h"
#include "core/arena/layout.h"
#include "core/tree/outcome.h"
#include "core/tree/snapshot.h"
#include "core/disk/leave.h"
#include "kernel/os.h"
#include "core/disk/writeback.h"
#include "core/tree/path.h"
#include "core/calls/rename.h"
#include "core/calls/exchange.h"
#include "core/calls/across.h"

enum { EXCHANGE = 2 }; /* RENAME_EXCHANGE, which only newer headers have */

static int is_directory(const struct velo_region *region, velo_node_id node)
{
    return velo_node_at(region, node)->type == VELO_DIRECTORY;
}

/* Both exist, a path with a slash at its end leads to a directory, and neither would come to lie below itself. */
static int check_locked(const struct velo_move *m)
{
    const struct velo_region *region = m->region;
    if (!velo_is_node(m->victim))
        return -ENOENT;
    if ((m->from->asked.must_be_directory && !is_directory(region, m->node)) ||
        (m->to->asked.must_be_directory && !is_directory(region, m->victim)))
        return -ENOTDIR;
    if ((is_directory(region, m->node) && velo_is_below(region, m->to->at.parent, m->node)) ||
        (is_directory(region, m->victim) && velo_is_below(region, m->from->at.parent, m->victim)))
        return -EINVAL;
    return 0;
}

struct names {
    velo_name_id at_from, at_to;
};

/* Slots are taken before any is given back (pool.c), and before the disk does its half. */
static int make_names_locked(struct velo_move *m, struct names *made)
{
    struct velo_region *region = m->region;
    made->at_to = velo_name_enter_locked(region, m->to->at.parent, m->to->text.name,
                                         m->to->text.name_length, m->node);
    made->at_from = velo_name_enter_locked(region, m->from->at.parent, m->from->text.name,
                                           m->from->text.name_length, m->victim);
    return !velo_is_name(made->at_to) || velo_is_name(made->at_from) ? 0 : -ENOSPC;
}

/* `old` is the name that the node had, `place` where it is now. */
static void take_place_locked(struct velo_region *region, velo_name_id old, velo_name_id made,
                              const struct velo_place *place)
{
    struct stat disk;
    const velo_node_id index = velo_name_at(region, old)->node;
    const uint64_t version = velo_name_at(region, old)->disk_version;
    if (velo_os_lstat(place->text.path, &disk) == 0)
        velo_moved_locked(region, made, index, version, &disk);
    velo_name_remove_locked(region, old);
    velo_took_place_locked(region, index, place);
}

static void exchange_in_tree_locked(struct velo_move *m, const struct names *made)
{
    take_place_locked(m->region, m->from_name, made->at_to, m->to);
    take_place_locked(m->region, m->to_name, made->at_from, m->from);
}

static int both_on_disk(const struct velo_move *m)
{
    return (velo_name_at(m->region, m->from_name)->flags & VELO_NAME_ON_DISK) != 0 &&
           (velo_name_at(m->region, m->to_name)->flags & VELO_NAME_ON_DISK) != 0;
}

/* Permissions are the kernel's to check: it does the same exchange with the same owners and modes. */
static int exchange_locked(struct velo_move *m, struct velo_hold *hold)
{
    struct velo_region *region = m->region;
    struct names made;
    int rc = velo_move_find_locked(m, hold);
    if (rc == 0)
        rc = check_locked(m);
    if (rc != 0 || velo_same_node(m->node, m->victim)) /* two names of one file: nothing happens */
        return rc;
    if (!both_on_disk(m))
        return VELO_AGAIN;
    rc = velo_move_paths_locked(m);
    if (rc == 0)
        rc = make_names_locked(m, &made);
    if (rc != 0)
        return rc;
    velo_ctime_advance_locked(region, m->node, m->from->text.path);
    velo_ctime_advance_locked(region, m->victim, m->to->text.path);
    velo_intent_announce(region, VELO_INTENT_EXCHANGE, m->from_name, m->to);
    rc = velo_os_renameat(AT_FDCWD, m->from->text.path, AT_FDCWD, m->to->text.path, EXCHANGE);
    if (rc == 0)
        exchange_in_tree_locked(m, &made);
    return rc;
}

int velo_exchange(struct velo_region *region, struct velo_place *from, struct velo_place *to)
{
    struct velo_move move = {.region = region, .from = from, .to = to};
    struct velo_hold hold;
    if (to->at.type == VELO_NONE)
        return -ENOENT;
    int rc = velo_writeback_place(region, from);
    if (rc >= 0) /* a file that a process is writing is put as it is */
        rc = velo_writeback_place(region, to);
    if (rc < 0)
        return rc;
    velo_arrives(region, from, to);
    velo_arrives(region, to, from);
    velo_begin(region, &hold);
    rc = velo_finish(region, &hold, exchange_locked(&move, &hold));
    return rc == VELO_BEYOND_REACH ? velo_rename_across(region, from, to, EXCHANGE, 1) : rc;
}

int velo_exchange_recover(struct velo_move *move)
{
    struct names made;
    if (!velo_is_node(move->victim))
        return 0;
    const int rc = make_names_locked(move, &made);
    if (rc == 0)
        exchange_in_tree_locked(move, &made);
    return rc;
}
