/* name.c - operations on names: mkdir, rmdir, unlink, rename, link, symlink, mknod.
 *
 * Regular files that live in memory change in the namespace alone.  Directories, symlinks, other types,
 * and regular files that were put stand on disk under the name.  They change on disk and in the
 * namespace within one hold of the lock, disk first.  If the process dies between the two, `disk_step`
 * tells recovery which directory to look at again. */
#include "core/tree/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "core/disk/disk_names.h"
#include "core/tree/outcome.h"
#include "core/disk/leave.h"
#include "core/disk/temporary.h"
#include "kernel/os.h"
#include "core/disk/poison.h"
#include "core/arena/process.h"
#include "core/disk/writeback.h"
#include "core/disk/reconcile.h"
#include "core/disk/retire.h"
#include "core/tree/stamps.h"
#include "core/presence/watch.h"
#include "core/tree/path.h"
#include "core/disk/root.h"
#include "core/calls/rename.h"
#include "core/calls/create.h"
#include "core/calls/again.h"

/* The file is being renamed into place by a shard at this moment: let it finish, outside the lock. */
static int wait_for_writer(struct velo_region *region, struct velo_hold *hold, velo_name_id name)
{
    struct velo_name *entry = velo_name_at(region, name);
    const uint32_t writer = entry->writer;
    if (writer == 0)
        return 0;
    if (!velo_writer_alive(region, writer)) {
        velo_writer_died_locked(region, name, NULL);
        return 0;
    }
    velo_abort(region, hold);
    velo_os_pause(VELO_WRITER_PAUSE_NS);
    velo_begin(region, hold);
    return VELO_AGAIN;
}

/* Find the place's name under the lock, with no put in flight. 0 or -ENOENT. */
static int find_locked(struct velo_region *region, struct velo_hold *hold,
                       const struct velo_place *place, velo_name_id *name)
{
    for (int waits = 0; waits < VELO_WRITER_WAITS_MAX; waits++) {
        *name = velo_name_there(region, place);
        if (!velo_is_name(*name) || velo_parent_is_gone(region, place))
            return -ENOENT;
        if (wait_for_writer(region, hold, *name) == 0)
            return 0;
    }
    return -EBUSY;
}

/* ---- things that are born on disk ------------------------------------------------------------ */

typedef int (*birth)(const struct velo_place *place, const void *argument);

static int enter_born_locked(struct velo_region *region, struct velo_place *place,
                             const char *target)
{
    struct stat disk;
    const int rc = velo_os_lstat(place->text.path, &disk);
    if (rc != 0)
        return rc;
    const enum velo_type type = S_ISDIR(disk.st_mode)   ? VELO_DIRECTORY
                                : S_ISLNK(disk.st_mode) ? VELO_SYMLINK
                                                        : VELO_OTHER;
    const velo_node_id index = velo_node_new_locked(region, type);
    if (!velo_is_node(index))
        return -ENOSPC;
    struct velo_node *node = velo_node_at(region, index);
    velo_take_stat_locked(region, index, &disk);
    VELO_INIT(node->btime_ns, node->ctime_ns);
    velo_raise_floor(region, node->ctime_ns);
    if (target != NULL) {
        VELO_INIT_ID(node->target, velo_text_new_locked(region, target, strlen(target)));
        if (!velo_is_chunk(node->target))
            return -ENOSPC;
    }
    if (type == VELO_DIRECTORY) /* the kernel gave it its parent's default ACL */
        VELO_INIT(node->flags, velo_node_at(region, place->at.parent)->flags & VELO_NODE_ACL);
    velo_identity_set_locked(region, index, VELO_ID_DISK, disk.st_dev, disk.st_ino);
    const velo_name_id name = velo_name_enter_locked(region, place->at.parent, place->text.name,
                                                     place->text.name_length, index);
    if (!velo_is_name(name))
        return -ENOSPC;
    velo_name_disk_locked(region, name, 0, &disk);
    velo_touch_locked(region, place->at.parent);
    place->at.node = index;
    place->at.type = type;
    return 0;
}

/* A thing that was made on disk must not stay there when the namespace has no room for its name. */
static int make_known_locked(struct velo_region *region, struct velo_place *place,
                             const char *target)
{
    const int rc = enter_born_locked(region, place, target);
    if (rc == -ENOSPC && velo_os_unlink(place->text.path) == -EISDIR)
        velo_os_unlinkat(AT_FDCWD, place->text.path, AT_REMOVEDIR);
    return rc;
}

static int born(struct velo_region *region, struct velo_place *place, birth make,
                const void *argument, const char *target)
{
    if (place->asked.too_long)
        return -ENAMETOOLONG;
    if (place->at.type != VELO_NONE || place->asked.through_link)
        return -EEXIST;
    int rc = velo_may_change(region, place);
    if (rc != 0)
        return rc;
    if (velo_names_are_scarce(region) && velo_retire(region, place->at.parent) == 0)
        return make(place, argument); /* by the kernel, as all that is there from now on */
    struct velo_hold hold;
    velo_begin(region, &hold);
    if (velo_parent_is_gone(region, place))
        rc = -ENOENT;
    else if (velo_is_name(velo_name_there(region, place)))
        rc = -EEXIST;
    else
        rc = velo_fresh_path(region, place);
    if (rc == 0) {
        velo_disk_step_locked(region, place->at.parent, VELO_NO_NODE);
        rc = make(place, argument);
        if (rc == 0)
            rc = make_known_locked(region, place, target);
    }
    const int stray = rc == -EEXIST && !velo_is_name(velo_name_there(region, place));
    velo_finish(region, &hold, rc);
    if (stray) /* something of an outsider stands there: now we know */
        velo_directory_refresh(region, place->at.parent);
    return velo_became_the_kernels(region, place, rc) ? make(place, argument) : rc;
}

static int make_directory(const struct velo_place *place, const void *argument)
{
    return velo_os_mkdir(place->text.path, *(const mode_t *)argument);
}

int velo_mkdir(struct velo_region *region, struct velo_place *place, mode_t mode)
{
    return born(region, place, make_directory, &mode, NULL);
}

static int make_symlink(const struct velo_place *place, const void *argument)
{
    return velo_os_symlink(argument, place->text.path);
}

int velo_symlink(struct velo_region *region, const char *target, struct velo_place *place)
{
    if (target[0] == 0)
        return -ENOENT;
    if (place->asked.must_be_directory && !place->asked.too_long)
        return place->at.type == VELO_NONE && !place->asked.through_link ? -ENOENT : -EEXIST;
    return born(region, place, make_symlink, target, target);
}

struct device {
    mode_t mode;
    dev_t device;
};

static int make_device(const struct velo_place *place, const void *argument)
{
    const struct device *device = argument;
    return velo_os_mknod(place->text.path, device->mode, device->device);
}

int velo_mknod(struct velo_region *region, struct velo_place *place, mode_t mode, dev_t device)
{
    if (place->asked.must_be_directory && !place->asked.too_long)
        return place->at.type == VELO_NONE && !place->asked.through_link ? -ENOENT : -EEXIST;
    if ((mode & S_IFMT) == S_IFREG || (mode & S_IFMT) == 0) {
        /* by path: a watcher would hear of a close */
        if (place->at.type == VELO_NONE && !place->asked.too_long && !place->asked.through_link &&
            velo_is_watched(region, place->at.parent))
            return velo_make_on_disk(region, place, mode);
        const int fd =
            velo_open(region, place, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, mode & 07777);
        if (fd == -EMFILE || fd == -ENFILE) /* a name needs no descriptor */
            return velo_make_on_disk(region, place, mode);
        if (fd < 0)
            return fd;
        velo_os_close(fd);
        return 0;
    }
    const struct device argument = {mode, device};
    return born(region, place, make_device, &argument, NULL);
}

/* ---- removal --------------------------------------------------------------------------------- */

static int unlink_locked(struct velo_region *region, struct velo_hold *hold,
                         struct velo_place *place)
{
    velo_name_id name;
    int rc = find_locked(region, hold, place, &name);
    if (rc != 0)
        return rc;
    const velo_node_id node = velo_name_at(region, name)->node, parent = place->at.parent;
    rc = velo_may_remove(region, velo_node_at(region, parent), velo_node_at(region, node));
    if (rc != 0)
        return rc;
    if (velo_node_at(region, node)->type == VELO_DIRECTORY)
        return -EISDIR;
    if ((velo_name_at(region, name)->flags & VELO_NAME_ON_DISK) != 0) {
        rc = velo_fresh_path(region, place);
        if (rc == 0) {
            if (velo_node_at(region, node)->links > 1)
                velo_ctime_advance_locked(region, node, place->text.path);
            velo_disk_step_locked(region, parent, VELO_NO_NODE);
            rc = velo_os_unlink(place->text.path);
        }
        if (rc != 0 && rc != -ENOENT)
            return rc;
    }
    const uint64_t copy = velo_name_at(region, name)->disk_inode;
    velo_name_remove_locked(region, name);
    velo_lose_link_locked(region, node);
    velo_copy_lost_locked(region, parent, copy);
    velo_touch_locked(region, parent);
    return 0;
}

int velo_unlink(struct velo_region *region, struct velo_place *place)
{
    if (place->asked.too_long)
        return -ENAMETOOLONG;
    if (place->asked.through_link)
        return -ENOTDIR;
    if (place->at.type == VELO_NONE)
        return -ENOENT;
    if (place->at.type == VELO_DIRECTORY &&
        (place->asked.must_be_directory || place->asked.dots != 0))
        return -EISDIR;
    if (place->asked.must_be_directory)
        return -ENOTDIR;
    if (velo_same_node(place->at.node, place->at.root)) /* a directory: the kernel says why not */
        return velo_os_unlink(place->text.path);
    struct velo_hold hold;
    velo_begin(region, &hold);
    const int rc = velo_finish(region, &hold, unlink_locked(region, &hold, place));
    return velo_became_the_kernels(region, place, rc) ? velo_os_unlink(place->text.path) : rc;
}

static int rmdir_root(struct velo_region *region, struct velo_place *place)
{
    if (velo_node_at(region, place->at.node)->entries != 0)
        return -ENOTEMPTY;
    const int rc = velo_os_unlinkat(AT_FDCWD, place->text.path, AT_REMOVEDIR);
    if (rc == 0)
        velo_root_forget(region, place->at.node);
    return rc;
}

static int rmdir_locked(struct velo_region *region, struct velo_hold *hold,
                        struct velo_place *place)
{
    velo_name_id name;
    int rc = find_locked(region, hold, place, &name);
    if (rc != 0)
        return rc;
    const velo_node_id node = velo_name_at(region, name)->node, parent = place->at.parent;
    rc = velo_may_remove(region, velo_node_at(region, parent), velo_node_at(region, node));
    if (rc == 0 && velo_node_at(region, node)->type != VELO_DIRECTORY)
        rc = -ENOTDIR;
    if (rc == 0 && velo_node_at(region, node)->entries != 0)
        rc = -ENOTEMPTY;
    if (rc == 0)
        rc = velo_fresh_path(region, place);
    if (rc != 0)
        return rc;
    velo_disk_step_locked(region, parent, VELO_NO_NODE);
    rc = velo_os_unlinkat(AT_FDCWD, place->text.path, AT_REMOVEDIR);
    if (rc != 0 && rc != -ENOENT)
        return rc;
    velo_name_remove_locked(region, name);
    velo_node_free_locked(region, node);
    velo_touch_locked(region, parent);
    return 0;
}

int velo_rmdir(struct velo_region *region, struct velo_place *place)
{
    if (place->asked.too_long)
        return -ENAMETOOLONG;
    if (place->asked.through_link)
        return -ENOTDIR;
    if (place->at.type == VELO_NONE)
        return -ENOENT;
    if (place->asked.dots != 0)
        return place->asked.dots == 1 ? -EINVAL : -ENOTEMPTY;
    if (place->at.type == VELO_DIRECTORY && velo_opaque_runs(region))
        velo_directory_refresh(region, place->at.node); /* is it empty? */
    if (velo_same_node(place->at.node, place->at.root))
        return rmdir_root(region, place);
    struct velo_hold hold;
    velo_begin(region, &hold);
    int rc = velo_finish(region, &hold, rmdir_locked(region, &hold, place));
    if (rc == -ENOTEMPTY && velo_node_at(region, place->at.node)->entries == 0) {
        /* On disk it has more than we know: files being put whose names went, or an outsider's. */
        velo_temporaries_of_directory(region, place->at.node);
        velo_directory_refresh(region, place->at.node);
        velo_begin(region, &hold);
        rc = velo_finish(region, &hold, rmdir_locked(region, &hold, place));
    }
    return velo_became_the_kernels(region, place, rc)
               ? velo_os_unlinkat(AT_FDCWD, place->text.path, AT_REMOVEDIR)
               : rc;
}

/* ---- link ------------------------------------------------------------------------------------ */

static int link_locked(struct velo_region *region, struct velo_hold *hold, struct velo_place *from,
                       struct velo_place *to)
{
    velo_name_id name;
    int rc = find_locked(region, hold, from, &name);
    if (rc != 0)
        return rc;
    if (velo_parent_is_gone(region, to))
        return -ENOENT;
    if (velo_is_name(velo_name_there(region, to)))
        return -EEXIST;
    const velo_node_id node = velo_name_at(region, name)->node;
    struct stat disk;
    /* Before the disk's half, which an abort does not take back. */
    const velo_name_id made =
        velo_name_enter_locked(region, to->at.parent, to->text.name, to->text.name_length, node);
    if (!velo_is_name(made))
        return -ENOSPC;
    const int native = velo_node_at(region, node)->type != VELO_REGULAR ||
                       velo_node_at(region, node)->state == VELO_DISK;
    if (native) {
        rc = velo_fresh_path(region, from);
        rc = rc != 0 ? rc : velo_fresh_path(region, to);
        if (rc != 0)
            return rc;
        velo_ctime_advance_locked(region, node, from->text.path);
        velo_intent_announce(region, VELO_INTENT_LINK, name, to);
        rc = velo_os_linkat(AT_FDCWD, from->text.path, AT_FDCWD, to->text.path, 0);
        rc = rc != 0 ? rc : velo_os_lstat(to->text.path, &disk);
        if (rc != 0)
            return rc;
        velo_name_disk_locked(region, made, velo_node_at(region, node)->version, &disk);
        velo_names_record_locked(region, node, &disk);
    } else {
        velo_poison_set_locked(region, node);
    }
    velo_renamed_locked(region, node);
    if (velo_is_program_like(to->text.name, to->text.name_length, 0))
        velo_set32(region, &velo_node_at(region, node)->flags,
                   velo_node_at(region, node)->flags | VELO_NODE_PROGRAM);
    velo_program_locked(region, node);
    velo_touch_locked(region, to->at.parent);
    return 0;
}

/* A watcher of the directory looks there before we tell the namespace. 1: marked, to be taken back. */
static int mark_for_comparison(struct velo_region *region, velo_node_id directory)
{
    struct velo_hold hold;
    if (!velo_is_watched(region, directory))
        return 0;
    velo_begin(region, &hold);
    const int marked = velo_stale_locked(region, directory);
    velo_commit(region, &hold);
    return marked;
}

/* Across the border both names must be the disk's: the file leaves memory for good (file.c opens a
 * file with names outside at its real path). While a program has it open it cannot: -EXDEV. */
static int link_natively(struct velo_region *region, struct velo_place *from, struct velo_place *to)
{
    if (from->at.kind == VELO_HOSTED && from->at.type == VELO_REGULAR &&
        (velo_writeback_place(region, from) != 0 ||
         velo_evict_patiently(region, from->at.node) != 0) &&
        VELO_READ(velo_node_at(region, from->at.node)->state) != VELO_DISK)
        return -EXDEV;
    const uint64_t recoveries = atomic_load(&region->header->recoveries);
    const int stale = to->at.kind == VELO_HOSTED && mark_for_comparison(region, to->at.parent);
    const int rc = velo_os_linkat(AT_FDCWD, from->text.path, AT_FDCWD, to->text.path, 0);
    if (rc == 0 && to->at.kind == VELO_HOSTED)
        velo_revalidate(region, to);
    if (stale)
        velo_not_stale(region, to->at.parent, recoveries);
    if (rc == 0 && from->at.kind == VELO_HOSTED)
        velo_place_changed(region, from);
    return rc;
}

/* The directory of the new name has just become the kernel's, and perhaps the other's, too. */
static int link_again(struct velo_region *region, struct velo_place *from, struct velo_place *to)
{
    int rc = velo_walk_again(region, VELO_WALK_NOFOLLOW, from);
    if (rc == 0)
        rc = velo_walk_again(region, VELO_WALK_NOFOLLOW, to);
    return rc != 0 ? rc : velo_link(region, from, to);
}

int velo_link(struct velo_region *region, struct velo_place *from, struct velo_place *to)
{
    struct stat stat;
    int rc = 0;
    if (from->at.kind == VELO_OUTSIDE)
        rc = velo_os_lstat(from->text.path, &stat);
    else if (from->at.type == VELO_NONE)
        rc = -ENOENT;
    else if (from->asked.must_be_directory && from->at.type != VELO_DIRECTORY)
        rc = -ENOTDIR;
    if (rc != 0)
        return rc;
    if (to->asked.too_long)
        return -ENAMETOOLONG;
    if (to->at.kind == VELO_HOSTED && (to->at.type != VELO_NONE || to->asked.through_link))
        return -EEXIST;
    if (to->at.kind == VELO_OUTSIDE && velo_os_lstat(to->text.path, &stat) == 0)
        return -EEXIST;
    if (to->asked.must_be_directory)
        return -ENOENT;
    if (from->at.kind != to->at.kind)
        return link_natively(region, from, to);
    if (from->at.kind == VELO_OUTSIDE)
        return velo_os_linkat(AT_FDCWD, from->text.path, AT_FDCWD, to->text.path, 0);
    rc = velo_may_link(region, velo_node_at(region, from->at.node));
    if (rc == 0)
        rc = velo_may_change(region, to);
    if (rc != 0 || from->at.type == VELO_DIRECTORY)
        return rc != 0 ? rc : -EPERM;
    if (velo_names_are_scarce(region) && velo_retire(region, to->at.parent) == 0)
        return link_again(region, from, to);
    velo_arrives(region, from, to);
    struct velo_hold hold;
    velo_begin(region, &hold);
    rc = velo_finish(region, &hold, link_locked(region, &hold, from, to));
    const int moved = velo_became_the_kernels(region, from, rc);
    return velo_became_the_kernels(region, to, rc) || moved ? velo_link(region, from, to) : rc;
}
