/* rename.c - rename within hosted directories; across their border see across.c.
 *
 * One change of the namespace; what of the two names stands on disk is renamed there in the same hold
 * of the lock.  See name.c for how disk and namespace stay one. */
#include "move.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "core/disk/disk_names.h"
#include "core/arena/layout.h"
#include "core/tree/outcome.h"
#include "core/tree/snapshot.h"
#include "kernel/lease.h"
#include "core/disk/leave.h"
#include "core/disk/temporary.h"
#include "kernel/os.h"
#include "core/arena/process.h"
#include "core/disk/reconcile.h"
#include "core/tree/stamps.h"
#include "core/presence/watch.h"
#include "core/tree/path.h"
#include "core/calls/rename.h"
#include "core/calls/exchange.h"
#include "core/calls/create.h"
#include "core/calls/again.h"
#include "core/calls/across.h"

#define ATTEMPTS_MAX 1000

enum { NOREPLACE = 1, EXCHANGE = 2 }; /* RENAME_..., which only newer headers have */

static int busy(const struct velo_region *region, velo_name_id name)
{
    const uint32_t writer = velo_is_name(name) ? velo_name_at(region, name)->writer : 0;
    return writer != 0 && velo_writer_alive(region, writer);
}

int velo_move_find_locked(struct velo_move *m, struct velo_hold *hold)
{
    struct velo_region *region = m->region;
    for (int waits = 0;; waits++) {
        m->from_name = velo_name_there(region, m->from);
        m->to_name = velo_name_there(region, m->to);
        if (!busy(region, m->from_name) && !busy(region, m->to_name))
            break;
        if (waits == VELO_WRITER_WAITS_MAX)
            return -EBUSY;
        velo_abort(region, hold);
        velo_os_pause(VELO_WRITER_PAUSE_NS);
        velo_begin(region, hold);
    }
    if (!velo_is_name(m->from_name))
        return -ENOENT;
    velo_writer_died_locked(region, m->from_name, NULL);
    if (velo_is_name(m->to_name))
        velo_writer_died_locked(region, m->to_name, NULL);
    m->node = velo_name_at(region, m->from_name)->node;
    m->victim = velo_is_name(m->to_name) ? velo_name_at(region, m->to_name)->node : VELO_NO_NODE;
    return 0;
}

/* What the kernel refuses before it checks permissions: text and shape of the two paths. */
static int check_paths(const struct velo_move *m)
{
    const struct velo_region *region = m->region;
    const int directory = velo_node_at(region, m->node)->type == VELO_DIRECTORY;
    if (velo_is_node(m->victim) && (m->flags & NOREPLACE) != 0)
        return -EEXIST;
    if (!directory && (m->from->asked.must_be_directory || m->to->asked.must_be_directory))
        return -ENOTDIR;
    if (directory && velo_is_below(region, m->to->at.parent, m->node))
        return -EINVAL;
    if (velo_is_node(m->victim) && velo_is_below(region, m->from->at.parent, m->victim))
        return -ENOTEMPTY;
    return 0;
}

static int check_types(const struct velo_move *m)
{
    const struct velo_node *victim = velo_node_at(m->region, m->victim);
    const int directory = velo_node_at(m->region, m->node)->type == VELO_DIRECTORY;
    if (!velo_is_node(m->victim))
        return 0;
    if (directory && victim->type != VELO_DIRECTORY)
        return -ENOTDIR;
    if (!directory && victim->type == VELO_DIRECTORY)
        return -EISDIR;
    return directory && victim->entries != 0 ? -ENOTEMPTY : 0;
}

static int check_rights(const struct velo_move *m)
{
    struct velo_region *region = m->region;
    const struct velo_node *to = velo_node_at(region, m->to->at.parent);
    int rc = velo_may_remove(region, velo_node_at(region, m->from->at.parent),
                             velo_node_at(region, m->node));
    if (rc == 0)
        rc = velo_is_node(m->victim) ? velo_may_remove(region, to, velo_node_at(region, m->victim))
                                     : velo_may(region, to, 3);
    return rc;
}

int velo_move_paths_locked(struct velo_move *m)
{
    struct velo_region *region = m->region;
    int rc = velo_fresh_path(region, m->from);
    if (rc == 0)
        rc = velo_fresh_path(region, m->to);
    const size_t from = m->from->text.path_length, to = m->to->text.path_length;
    if (rc == 0 && ((to > from && to + velo_longest_below(region, m->node) >= PATH_MAX) ||
                    (from > to && from + velo_longest_below(region, m->victim) >= PATH_MAX)))
        return VELO_BEYOND_REACH; /* and could not be put any more */
    return rc;
}

void velo_intent_announce(struct velo_region *region, int kind, velo_name_id from_name,
                          const struct velo_place *to)
{
    struct velo_header *header = region->header;
    struct velo_intent *intent = &header->intent;
    const struct velo_name *from = velo_name_at(region, from_name);
    intent->node = from->node;
    intent->to_parent = to->at.parent;
    intent->to_length = to->text.name_length;
    intent->kind = (uint8_t)kind;
    intent->inode = from->disk_inode;
    memcpy(intent->to_text, to->text.name, to->text.name_length);
    intent->to_text[to->text.name_length] = 0;
    atomic_store(&intent->from_name, from_name);
    velo_disk_step_locked(region, from->parent, to->at.parent);
}

/* A file on disk that a process has open, or may have. */
static int is_open(const char *path)
{
    const int fd = velo_os_open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC, 0);
    if (fd < 0)
        return fd != -ENOENT;
    velo_sys3(SYS_fcntl, fd, F_SETSIG, SIGURG);
    const long rc = velo_sys3(SYS_fcntl, fd, F_SETLEASE, F_WRLCK);
    if (rc == 0)
        velo_lease_leave(fd);
    velo_os_close(fd);
    return rc == -EAGAIN;
}

/* A file in memory takes a name: must what stands on disk under that name go? A file may stay, as an older
 * version of the new one. But it must go when other names share it and lose a link, or when a process has it
 * open and could see that it still has a name. */
static int must_go(const struct velo_move *m)
{
    const struct velo_node *victim = velo_node_at(m->region, m->victim);
    return victim->type != VELO_REGULAR || (victim->flags & VELO_NODE_LINKED_OUTSIDE) != 0 ||
           victim->links > 1 || (victim->state == VELO_DISK && is_open(m->to->text.path));
}

static int remove_copy(const char *path)
{
    const int rc = velo_os_unlink(path);
    return rc == -ENOENT ? 0 : rc; /* another process removed it */
}

/* The disk's half. *moved when something of ours now stands at `to` that stood at `from`. */
static int rename_on_disk(struct velo_move *m, int *moved)
{
    struct velo_region *region = m->region;
    const struct velo_name *from = velo_name_at(region, m->from_name);
    const struct velo_name *to = velo_name_at(region, m->to_name);
    const int to_on_disk = velo_is_name(m->to_name) && (to->flags & VELO_NAME_ON_DISK) != 0;
    *moved = (from->flags & VELO_NAME_ON_DISK) != 0;
    if (!*moved && !to_on_disk)
        return 0;
    int rc = velo_move_paths_locked(m);
    if (rc != 0)
        return rc;
    m->goes = !*moved && must_go(m);
    if (!*moved && !m->goes)
        return 0;
    velo_intent_announce(region, *moved ? VELO_INTENT_RENAME : VELO_INTENT_UNLINK, m->from_name,
                         m->to);
    if (!*moved) /* it gives way to a file that lives in memory only */
        return remove_copy(m->to->text.path);
    velo_ctime_advance_locked(region, m->node, m->from->text.path);
    velo_ctime_advance_locked(region, m->victim, m->to->text.path);
    rc = velo_os_renameat(AT_FDCWD, m->from->text.path, AT_FDCWD, m->to->text.path, 0);
    if (rc == 0 && to_on_disk &&
        to->disk_inode == from->disk_inode) /* links of one copy: a no-op */
        velo_os_unlink(m->from->text.path);
    if (rc == -ENOENT && velo_node_at(region, m->node)->state == VELO_BACKED) {
        *moved = 0; /* an outsider removed the old copy; the bytes are in memory */
        m->goes = to_on_disk && must_go(m);
        rc = m->goes ? remove_copy(m->to->text.path) : 0;
    }
    return rc;
}

/* The old file still stands on disk under the name: as an older version of the file that has the name now. */
static void inherit_copy_locked(struct velo_region *region, velo_name_id name,
                                const struct velo_name *from)
{
    struct velo_name *to = velo_name_at(region, name);
    velo_set64(region, &to->disk_inode, from->disk_inode);
    velo_set64(region, &to->disk_size, from->disk_size);
    velo_set_time(region, &to->disk_mtime_ns, from->disk_mtime_ns);
    velo_set_time(region, &to->disk_ctime_ns, from->disk_ctime_ns);
    velo_name_flags_locked(region, name, from->flags);
}

void velo_moved_locked(struct velo_region *region, velo_name_id name, velo_node_id node,
                       uint64_t version, const struct stat *disk)
{
    velo_name_disk_locked(region, name, version, disk);
    velo_names_record_locked(region, node, disk);
    const velo_node_id owner = velo_identity_find(region, disk->st_dev, disk->st_ino);
    if (velo_is_node(owner) &&
        !velo_same_node(owner, node)) /* what moved is a link of theirs: an older version */
        velo_names_record_locked(region, owner, disk);
}

void velo_took_place_locked(struct velo_region *region, velo_node_id index,
                            const struct velo_place *place)
{
    struct velo_node *node = velo_node_at(region, index);
    if (node->type == VELO_DIRECTORY)
        velo_set_node(region, &node->parent, place->at.parent);
    if (velo_is_program_like(place->text.name, place->text.name_length, 0))
        velo_set32(region, &node->flags, node->flags | VELO_NODE_PROGRAM);
    velo_renamed_locked(region, index);
    if (node->type == VELO_REGULAR)
        velo_program_locked(region, index);
    velo_touch_locked(region, place->at.parent);
}

/* Before the disk's half, which nothing takes back; and before a slot is given back (pool.c). */
static int make_name(struct velo_move *m)
{
    m->made = velo_name_enter_locked(m->region, m->to->at.parent, m->to->text.name,
                                     m->to->text.name_length, m->node);
    return velo_is_name(m->made) ? 0 : -ENOSPC;
}

static void rename_in_tree(struct velo_move *m, int moved)
{
    struct velo_region *region = m->region;
    const struct velo_name before = *velo_name_at(region, m->from_name);
    const struct velo_name victim = *velo_name_at(region, m->to_name);
    struct stat disk;
    const int on_disk = moved && velo_os_lstat(m->to->text.path, &disk) == 0;
    const int copy_lost = on_disk || m->goes;
    const velo_name_id made = m->made;
    if (on_disk) {
        velo_moved_locked(region, made, m->node, before.disk_version, &disk);
    } else if (velo_is_name(m->to_name) && (victim.flags & VELO_NAME_ON_DISK) != 0 && !m->goes) {
        inherit_copy_locked(region, made, &victim);
    }
    velo_name_remove_locked(region, m->from_name);
    if (velo_is_name(m->to_name)) {
        velo_name_remove_locked(region, m->to_name);
        if (velo_node_at(region, m->victim)->type == VELO_DIRECTORY)
            velo_node_free_locked(region, m->victim);
        else
            velo_lose_link_locked(region, m->victim);
        if (copy_lost)
            velo_copy_lost_locked(region, m->to->at.parent, victim.disk_inode);
    }
    velo_touch_locked(region, m->from->at.parent);
    velo_took_place_locked(region, m->node, m->to);
}

/* Links of one copy: to rename them did nothing, and the removal of the old name was still to come. */
static void remove_existing(struct velo_region *region, velo_name_id from_name,
                            const struct stat *to)
{
    static char text[VELO_NAME_MAX + 1], path[PATH_MAX];
    const struct velo_name *from = velo_name_at(region, from_name);
    struct stat disk;
    if (velo_name_path(region, from->parent, text, velo_name_text(region, from, text), path) > 0 &&
        velo_os_lstat(path, &disk) == 0 && disk.st_ino == to->st_ino && disk.st_dev == to->st_dev)
        velo_os_unlink(path); /* not of a directory: it would be one under two names */
}

static int name_from(struct velo_move *m)
{
    static char text[VELO_NAME_MAX + 1];
    struct velo_place *from = m->from;
    const size_t size = velo_name_text(m->region, velo_name_at(m->region, m->from_name), text);
    const int length = velo_name_path(m->region, from->at.parent, text, size, from->text.path);
    if (length < 0)
        return 0;
    from->text.name_length = (uint16_t)size;
    from->text.name = from->text.path + length - size;
    return 1;
}

int velo_rename_recover(struct velo_region *region)
{
    static struct velo_place from, to; /* too large for a stranger's stack; the lock guards them */
    const struct velo_intent *intent = &region->header->intent;
    struct velo_move m = {.region = region, .from = &from, .to = &to};
    struct stat disk;
    m.from_name = atomic_load(&intent->from_name);
    const struct velo_name *name = velo_name_at(region, m.from_name);
    if (!velo_is_name(m.from_name) || !velo_same_node(name->node, intent->node) ||
        !velo_is_node(name->parent))
        return 0; /* none, or it had come to its end */
    from.at.parent = name->parent;
    to.at.parent = intent->to_parent;
    const int length =
        velo_name_path(region, to.at.parent, intent->to_text, intent->to_length, to.text.path);
    if (length < 0)
        return 0;
    to.text.name = to.text.path + length - intent->to_length;
    to.text.name_length = intent->to_length;
    const int rc = velo_os_lstat(to.text.path, &disk);
    if (intent->kind == VELO_INTENT_UNLINK ? rc != -ENOENT
                                           : rc != 0 || disk.st_ino != intent->inode)
        return 0; /* the disk has not done its half */
    m.node = intent->node;
    m.to_name = velo_name_there(region, &to);
    if (intent->kind == VELO_INTENT_LINK) {
        if (!velo_is_name(m.to_name) && velo_os_unlink(to.text.path) == 0)
            velo_copy_lost_locked(region, to.at.parent, intent->inode);
        return 0;
    }
    m.victim = velo_is_name(m.to_name) ? velo_name_at(region, m.to_name)->node : VELO_NO_NODE;
    if (intent->kind == VELO_INTENT_EXCHANGE)
        return name_from(&m) ? velo_exchange_recover(&m) : 0;
    if (intent->kind == VELO_INTENT_RENAME)
        remove_existing(region, m.from_name, &disk);
    m.goes = intent->kind == VELO_INTENT_UNLINK;
    const int made = make_name(&m);
    if (made == 0)
        rename_in_tree(&m, intent->kind == VELO_INTENT_RENAME);
    return made;
}

static int rename_locked(struct velo_move *m, struct velo_hold *hold)
{
    int rc = velo_move_find_locked(m, hold);
    if ((rc == 0 &&
         (velo_parent_is_gone(m->region, m->from) || velo_parent_is_gone(m->region, m->to))) ||
        (rc == -ENOENT && VELO_READ(m->region->header->retired_count) != 0))
        rc = VELO_AGAIN; /* the next walk finds whether it is gone, or the kernel's */
    if (rc == 0)
        rc = check_paths(m);
    if (rc != 0 ||
        velo_same_node(m->node, m->victim)) /* two names of one file: POSIX says do nothing */
        return rc;
    rc = check_rights(m);
    if (rc == 0)
        rc = check_types(m);
    if (rc != 0)
        return rc;
    int moved = 0;
    rc = make_name(m);
    if (rc == 0)
        rc = rename_on_disk(m, &moved);
    if (rc == 0)
        rename_in_tree(m, moved);
    return rc;
}

static int rename_once(struct velo_region *region, struct velo_place *from, struct velo_place *to,
                       unsigned flags)
{
    if (from->asked.dots != 0 || to->asked.dots != 0)
        return from->asked.dots == 0 && (flags & NOREPLACE) != 0 ? -EEXIST : -EBUSY;
    if (from->asked.too_long)
        return -ENAMETOOLONG;
    if (from->at.kind == VELO_HOSTED && from->at.type == VELO_NONE)
        return -ENOENT;
    struct stat stat;
    if (to->asked.too_long)
        return from->at.kind == VELO_OUTSIDE && velo_os_lstat(from->text.path, &stat) != 0
                   ? -ENOENT
                   : -ENAMETOOLONG;
    if (from->asked.through_link || to->asked.through_link) /* walked without VELO_WALK_LAST */
        return -ENOTDIR;
    if (velo_is_node(from->at.node) && velo_same_node(from->at.node, to->at.node) &&
        from->at.type != VELO_DIRECTORY && (flags & NOREPLACE) == 0 &&
        (from->asked.must_be_directory || to->asked.must_be_directory))
        return -ENOTDIR;
    if (velo_is_node(from->at.node) &&
        velo_same_node(from->at.node,
                       to->at.node)) /* also two links of one file: nothing happens */
        return (flags & NOREPLACE) != 0 ? -EEXIST : 0;
    const int roots =
        (velo_is_node(from->at.node) && velo_same_node(from->at.node, from->at.root)) ||
        (velo_is_node(to->at.node) && velo_same_node(to->at.node, to->at.root));
    if (flags == EXCHANGE && from->at.kind == VELO_HOSTED && to->at.kind == VELO_HOSTED && !roots)
        return velo_exchange(region, from, to);
    if (from->at.kind != to->at.kind || (flags & ~(unsigned)NOREPLACE) != 0 || roots)
        return velo_rename_across(region, from, to, flags, from->at.kind != to->at.kind);
    if (from->at.kind == VELO_OUTSIDE)
        return velo_os_renameat(AT_FDCWD, from->text.path, AT_FDCWD, to->text.path, flags);
    if (to->at.type == VELO_DIRECTORY && velo_opaque_runs(region))
        velo_directory_refresh(region, to->at.node); /* is it empty? */
    velo_arrives(region, from, to);
    struct velo_move move = {.region = region, .from = from, .to = to, .flags = flags};
    struct velo_hold hold;
    velo_begin(region, &hold);
    const int rc = velo_finish(region, &hold, rename_locked(&move, &hold));
    return rc == VELO_BEYOND_REACH ? velo_rename_across(region, from, to, flags, 1) : rc;
}

int velo_rename(struct velo_region *region, struct velo_place *from, struct velo_place *to,
                unsigned flags)
{
    for (int attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        int rc = rename_once(region, from, to, flags);
        if (rc != VELO_AGAIN)
            return rc;
        rc = velo_walk_again(region, VELO_WALK_NOFOLLOW, from);
        if (rc == 0)
            rc = velo_walk_again(region, VELO_WALK_NOFOLLOW, to);
        if (rc != 0)
            return rc;
    }
    return -EIO;
}
