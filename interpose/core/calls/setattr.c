/* setattr.c - chmod, chown and utimens, by path, and after the kernel did them by descriptor.
 *
 * One native call where the truth is: on the arena's file, while that is the file's backing, or on the
 * disk's path, under the lock, as names are changed (name.c). Then the same in the namespace. */
#include "core/tree/tree.h"

#include <errno.h>
#include <string.h>

#include "core/disk/copy.h"
#include "core/arena/layout.h"
#include "core/tree/outcome.h"
#include "core/tree/snapshot.h"
#include "kernel/os.h"
#include "core/disk/missing.h"
#include "core/disk/poison.h"
#include "core/disk/reconcile.h"
#include "core/tree/stamps.h"
#include "core/presence/watch.h"
#include "core/disk/xattr.h"
#include "core/calls/setattr.h"
#include "core/calls/create.h"
#include "core/calls/again.h"

#define ATTEMPTS_MAX 1000

/* One native call on the path where the truth is, then the same in the namespace. */
typedef int (*change)(const char *path, const void *argument);

static void refresh_locked(struct velo_region *region, velo_node_id index, const struct stat *now,
                           int times)
{
    struct velo_node *node = velo_node_at(region, index);
    const int64_t mtime = node->mtime_ns, size = (int64_t)node->size, ctime = node->ctime_ns;
    velo_take_stat_locked(region, index, now);
    if (node->type == VELO_DIRECTORY && !times)
        velo_set_time(region, &node->mtime_ns, mtime); /* the disk's lacks hosted entries */
    if (node->type == VELO_DIRECTORY) {
        velo_set64(region, &node->size, (uint64_t)size);
        /* The kernel does not know that we showed the old one to a program. */
        const int64_t ours = velo_stamp(region, (node->flags & VELO_NODE_QUERIED) != 0);
        const int is_now = times && node->mtime_ns == node->ctime_ns;
        if (ours > node->ctime_ns)
            velo_set_time(region, &node->ctime_ns, ours);
        if (is_now) /* UTIME_NOW: both are the same moment */
            velo_set_time(region, &node->mtime_ns, node->ctime_ns);
        velo_set32(region, &node->flags, node->flags & ~(uint32_t)VELO_NODE_QUERIED);
    }
    if (node->type != VELO_DIRECTORY && node->ctime_ns <= ctime) /* nor of these */
        velo_set_time(region, &node->ctime_ns, velo_stamp(region, 1));
    velo_names_record_locked(region, index, now);
    velo_linked_outside_locked(region, index, now);
}

/* Of a regular file the disk says what is true only as long as it lives there. */
static int lives_on_disk(const struct velo_node *node, const struct stat *disk)
{
    return node->type != VELO_NONE && node->identity[VELO_ID_DISK].inode == disk->st_ino &&
           (node->type != VELO_REGULAR || node->state == VELO_DISK);
}

static void refresh_node(struct velo_region *region, velo_node_id index, const char *path,
                         int times)
{
    struct stat now;
    struct velo_hold hold;
    velo_begin(region, &hold);
    const int known = velo_os_lstat(path, &now) == 0;
    /* By identity: meanwhile the path may lead elsewhere, and the slot be another file's. */
    if (known && lives_on_disk(velo_node_at(region, index), &now))
        refresh_locked(region, index, &now, times);
    velo_commit(region, &hold);
    if (known && S_ISDIR(now.st_mode))
        velo_acl_probe(region, index, path);
}

struct alteration {
    change call;
    const void *argument;
    int times; /* it sets the mtime */
};

/* Under the lock: this file must stand at the path while it is changed, and not the disk copy of another
 * file that is renamed there at the moment. */
static int setattr_on_disk_locked(struct velo_region *region, struct velo_place *place,
                                  const struct alteration *alteration)
{
    struct stat now;
    int rc = velo_is_node(place->at.parent) ? velo_fresh_path(region, place) : 0;
    if (rc != 0)
        return rc;
    if (velo_is_node(place->at.parent)) {
        const velo_name_id name = velo_name_there(region, place);
        if (!velo_is_name(name) ||
            !velo_same_node(velo_name_at(region, name)->node, place->at.node))
            return VELO_AGAIN;
        velo_disk_step_locked(region, place->at.parent, VELO_NO_NODE);
    }
    velo_readers_wait(region); /* a watcher of the file itself, too */
    rc = alteration->call(place->text.path, alteration->argument);
    if (rc == 0 && velo_os_lstat(place->text.path, &now) == 0 &&
        lives_on_disk(velo_node_at(region, place->at.node), &now))
        refresh_locked(region, place->at.node, &now, alteration->times);
    return rc;
}

/* 1: the file is in memory, and the node says already that it changes. So a kill after the kernel's step
 * leaves a file whose attributes are asked of the kernel, not believed. All else is changed here: 0, the
 * change's error, or VELO_AGAIN: name or slot are another file's by now, or the file is to be loaded first. */
static int begin_alteration(struct velo_region *region, struct velo_place *place,
                            const struct alteration *alteration)
{
    struct velo_hold hold;
    velo_begin(region, &hold);
    const struct velo_node *node = velo_node_at(region, place->at.node);
    int rc = node->generation != place->at.generation ? VELO_AGAIN : 0;
    if (rc == 0 && node->type == VELO_REGULAR && node->state == VELO_BACKED) {
        velo_dirty_locked(region, place->at.node);
        velo_poison_set_locked(region, place->at.node);
        rc = 1;
    } else if (rc == 0 && node->type == VELO_REGULAR && node->state == VELO_COLD) {
        rc = VELO_AGAIN; /* what the disk has is an older version */
    } else if (rc == 0) {
        rc = setattr_on_disk_locked(region, place, alteration);
    }
    return velo_finish(region, &hold, rc);
}

static void record_locked(struct velo_region *region, const struct velo_place *place,
                          const struct stat *now)
{
    struct velo_node *node = velo_node_at(region, place->at.node);
    velo_set32(region, &node->mode, now->st_mode);
    velo_set32(region, &node->uid, now->st_uid);
    velo_set32(region, &node->gid, now->st_gid);
    if (velo_is_program_like(place->text.name, place->text.name_length, now->st_mode))
        velo_set32(region, &node->flags, node->flags | VELO_NODE_PROGRAM);
    velo_dirty_locked(region, place->at.node);
    velo_poison_set_locked(region, place->at.node);
}

/* Under the lock, too: a process that lends itself rights to the file meanwhile would give the file its
 * old mode back (rights.c). */
static int setattr_in_memory_locked(struct velo_region *region, const struct velo_place *place,
                                    const struct alteration *alteration)
{
    char path[320];
    struct stat now;
    const struct velo_node *node = velo_node_at(region, place->at.node);
    if (node->generation != place->at.generation || node->type != VELO_REGULAR ||
        node->state != VELO_BACKED)
        return VELO_AGAIN;
    velo_backing_path(region, node->backing, path);
    const int rc = alteration->call(path, alteration->argument);
    if (rc == 0 && velo_os_lstat(path, &now) == 0)
        record_locked(region, place, &now);
    return rc;
}

static int apply_once(struct velo_region *region, struct velo_place *place,
                      const struct alteration *alteration)
{
    struct velo_hold hold;
    int rc = velo_fetch(region, place);
    if (rc == 0)
        rc = begin_alteration(region, place, alteration);
    if (rc != 1)
        return rc;
    velo_begin(region, &hold);
    return velo_finish(region, &hold, setattr_in_memory_locked(region, place, alteration));
}

static int apply(struct velo_region *region, struct velo_place *place, change call,
                 const void *argument, int times)
{
    const struct alteration alteration = {call, argument, times};
    if (place->at.kind == VELO_OUTSIDE)
        return call(place->text.path, argument);
    if (place->at.type == VELO_NONE)
        return -ENOENT;
    for (int attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        int rc = apply_once(region, place, &alteration);
        if (rc != VELO_AGAIN && rc != -ENOENT) /* the kernel's: gone, or renamed */
            return rc;
        if (rc == -ENOENT)
            velo_missing_ask(region, place->at.node);
        rc = velo_try_again(region, place);
        if (rc != 0)
            return rc;
    }
    return -ENOENT;
}

static int call_chmod(const char *path, const void *argument)
{
    return velo_os_chmod(path, *(const mode_t *)argument);
}

int velo_chmod(struct velo_region *region, struct velo_place *place, mode_t mode)
{
    if (place->at.kind == VELO_HOSTED && place->at.type == VELO_SYMLINK)
        return -EOPNOTSUPP; /* the kernel's step would follow it, past the lock */
    return apply(region, place, call_chmod, &mode, 0);
}

struct owner {
    uid_t uid;
    gid_t gid;
};

static int call_chown(const char *path, const void *argument)
{
    const struct owner *owner = argument;
    return velo_os_chown(path, owner->uid, owner->gid);
}

int velo_chown(struct velo_region *region, struct velo_place *place, uid_t uid, gid_t gid)
{
    const struct owner owner = {uid, gid};
    return apply(region, place, call_chown, &owner, 0);
}

static int call_utimens(const char *path, const void *argument)
{
    return velo_os_utimensat(AT_FDCWD, path, argument, AT_SYMLINK_NOFOLLOW);
}

int velo_utimens(struct velo_region *region, struct velo_place *place, const struct timespec t[2])
{
    return apply(region, place, call_utimens, t, t[1].tv_nsec != UTIME_OMIT);
}

void velo_unbacked_changed(struct velo_region *region, velo_node_id index, int times)
{
    char path[PATH_MAX];
    if (velo_path_of(region, index, path) > 0)
        refresh_node(region, index, path, times);
}

int velo_descriptor_changing(struct velo_region *region, int fd)
{
    struct stat now;
    if (velo_os_fstat(fd, &now) != 0)
        return 0;
    const velo_node_id index = velo_node_of(region, &now);
    if (!velo_is_node(index))
        return 0;
    struct velo_hold hold;
    velo_begin(region, &hold);
    const struct velo_node *node = velo_node_at(region, index);
    if (node->type == VELO_REGULAR && node->state == VELO_BACKED)
        velo_dirty_locked(region, index);
    velo_commit(region, &hold);
    return 1;
}

void velo_descriptor_changed(struct velo_region *region, int fd, int times)
{
    struct stat now;
    if (velo_os_fstat(fd, &now) != 0)
        return;
    const velo_node_id index = velo_node_of(region, &now);
    if (!velo_is_node(index))
        return;
    struct velo_hold hold;
    velo_begin(region, &hold);
    struct velo_node *node = velo_node_at(region, index);
    const int backed = node->type == VELO_REGULAR && node->state == VELO_BACKED;
    if (backed && velo_os_fstat(fd, &now) == 0) { /* again: in here no process lends rights */
        velo_set32(region, &node->mode, now.st_mode);
        velo_set32(region, &node->uid, now.st_uid);
        velo_set32(region, &node->gid, now.st_gid);
        if ((now.st_mode & 0111) != 0)
            velo_set32(region, &node->flags, node->flags | VELO_NODE_PROGRAM);
        velo_dirty_locked(region, index);
        velo_poison_set_locked(region, index);
    }
    velo_commit(region, &hold);
    if (!backed)
        velo_unbacked_changed(region, index, times);
}

void velo_place_changed(struct velo_region *region, const struct velo_place *place)
{
    if (place->at.kind == VELO_HOSTED && velo_is_node(place->at.node) &&
        !(place->at.type == VELO_REGULAR &&
          VELO_READ(velo_node_at(region, place->at.node)->state) == VELO_BACKED))
        refresh_node(region, place->at.node, place->text.path, 0);
}

int velo_revalidate(struct velo_region *region, struct velo_place *place)
{
    if (place->at.kind != VELO_HOSTED || !velo_is_node(place->at.parent))
        return 0;
    const int rc =
        velo_take_from_disk(region, place->at.parent, place->text.name, place->text.name_length);
    struct velo_hold hold;
    velo_begin(region, &hold); /* the kernel stamped the directory on disk, too */
    if (velo_node_at(region, place->at.parent)->type == VELO_DIRECTORY)
        velo_touch_locked(region, place->at.parent);
    velo_commit(region, &hold);
    return rc;
}
