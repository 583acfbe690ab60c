/* create.c - regular files that are new: born in memory, or on disk when there is no memory. */
#include "core/arena/layout.h"
#include "core/tree/outcome.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "kernel/os.h"
#include "core/disk/poison.h"
#include "core/disk/reconcile.h"
#include "core/disk/residency.h"
#include "core/disk/retire.h"
#include "core/presence/watch.h"
#include "core/tree/snapshot.h"
#include "core/tree/stamps.h"
#include "core/arena/trace.h"
#include "core/tree/tree.h"
#include "core/tree/path.h"
#include "core/calls/create.h"
#include "core/calls/again.h"

int velo_is_program_like(const char *name, size_t length, mode_t mode)
{
    if ((mode & 0111) != 0)
        return 1;
    if (length > 5 && memcmp(name + length - 5, ".node", 5) == 0)
        return 1;
    for (size_t i = 0; i + 3 <= length; i++)
        if (memcmp(name + i, ".so", 3) == 0 && (i + 3 == length || name[i + 3] == '.'))
            return 1;
    return 0;
}

/* Everything about a file that was just created in the kernel and is not in the tree yet. */
struct newborn {
    uint64_t backing; /* 0: born on disk */
    struct stat stat;
};

static int enter_new_locked(struct velo_region *region, const struct velo_place *place,
                            const struct newborn *born)
{
    if (velo_parent_is_gone(region, place) || velo_is_name(velo_name_there(region, place)))
        return VELO_AGAIN;
    const velo_node_id index = velo_node_new_locked(region, VELO_REGULAR);
    if (!velo_is_node(index))
        return -ENOSPC;
    struct velo_node *node = velo_node_at(region, index);
    VELO_INIT(node->home,
              (uint16_t)velo_home_of(region, place->text.path, place->text.path_length));
    VELO_INIT(node->backing, born->backing);
    VELO_INIT(node->version, 1);
    VELO_INIT(node->btime_ns, velo_ns(&born->stat.st_mtim));
    velo_raise_floor(region, node->btime_ns); /* the directory's stamp is not before its entry's */
    velo_take_stat_locked(region, index, &born->stat);
    velo_state_set_locked(region, index, born->backing != 0 ? VELO_BACKED : VELO_DISK);
    velo_identity_set_locked(region, index, born->backing != 0 ? VELO_ID_ARENA : VELO_ID_DISK,
                             born->stat.st_dev, born->stat.st_ino);
    const velo_name_id name = velo_name_enter_locked(region, place->at.parent, place->text.name,
                                                     place->text.name_length, index);
    if (!velo_is_name(name))
        return -ENOSPC;
    if (born->backing == 0)
        velo_name_disk_locked(region, name, 1, &born->stat);
    if (velo_is_program_like(place->text.name, place->text.name_length, born->stat.st_mode))
        velo_set32(region, &node->flags, VELO_NODE_PROGRAM);
    velo_program_locked(region, index);
    velo_touch_locked(region, place->at.parent);
    velo_poison_set_locked(region, index);
    return (int)index.slot;
}

static int enter_new(struct velo_region *region, const struct velo_place *place,
                     const struct newborn *born)
{
    struct velo_hold hold;
    velo_begin(region, &hold);
    return velo_finish(region, &hold, enter_new_locked(region, place, born));
}

int velo_inherit_group(const struct velo_node *parent, int fd, struct stat *stat)
{
    if ((parent->mode & S_ISGID) == 0 || parent->gid == stat->st_gid)
        return 0;
    int rc = velo_os_fchown(fd, (uid_t)-1, parent->gid);
    if (rc == -EINVAL) /* in our user namespace it has no number */
        rc = -EPERM;
    if (rc == 0 && (stat->st_mode & 06000) != 0) /* which a change of owner takes away */
        rc = velo_os_fchmod(fd, stat->st_mode & 07777);
    return rc != 0 ? rc : velo_os_fstat(fd, stat);
}

static int create_in_memory(struct velo_region *region, struct velo_place *place, int flags,
                            mode_t mode)
{
    struct newborn born = {.backing = velo_backing_new(region)};
    char path[320];
    velo_backing_path(region, born.backing, path);
    int fd = velo_os_open(path, (flags & ~O_TRUNC) | O_CREAT | O_EXCL, mode);
    if (fd < 0)
        return fd == -EEXIST ? VELO_AGAIN : fd;
    int rc = velo_os_fstat(fd, &born.stat);
    if (rc == 0)
        rc = velo_inherit_group(velo_node_at(region, place->at.parent), fd, &born.stat);
    if (rc == -EPERM)
        rc = -ENOSPC; /* only the kernel can give a file to a group that we are not in: on disk */
    if (rc == 0)
        rc = enter_new(region, place, &born);
    if (rc < 0) {
        velo_os_close(fd);
        velo_os_unlink(path);
        return rc;
    }
    place->at.node = velo_node_from((uint32_t)rc);
    place->at.type = VELO_REGULAR;
    velo_tick(region, place->at.node);
    return fd;
}

#define ONLY_A_NAME (-1) /* in place of flags: mknod, of which a watcher hears no close */

static int make_on_disk(const char *path, int flags, mode_t mode, int *fd, struct stat *stat)
{
    if (flags == ONLY_A_NAME) {
        const int rc = velo_os_mknod(path, mode, 0);
        return rc != 0 ? rc : velo_os_lstat(path, stat);
    }
    *fd = velo_os_open(path, flags | O_CREAT | O_EXCL, mode);
    return *fd < 0 ? *fd : velo_os_fstat(*fd, stat);
}

/* The disk's half and ours in one hold of the lock, as for whatever else is born on disk. */
static int create_on_disk_locked(struct velo_region *region, struct velo_place *place, int flags,
                                 mode_t mode, int *fd)
{
    struct newborn born = {.backing = 0};
    if (velo_parent_is_gone(region, place) || velo_is_name(velo_name_there(region, place)))
        return VELO_AGAIN;
    int rc = velo_fresh_path(region, place);
    if (rc != 0)
        return rc;
    velo_disk_step_locked(region, place->at.parent, VELO_NO_NODE);
    rc = make_on_disk(place->text.path, flags, mode, fd, &born.stat);
    if (rc != 0)
        return rc;
    rc = enter_new_locked(region, place, &born);
    if (rc < 0) {
        if (*fd >= 0)
            velo_os_close(*fd);
        velo_os_unlink(place->text.path);
    }
    return rc;
}

/* The file is born at its real path, for one of these reasons: memory is full and no shard can make room; the
 * kernel is to announce the file, or to say its rights; programs outside are to meet locks of it. */
static int create_on_disk(struct velo_region *region, struct velo_place *place, int flags,
                          mode_t mode, enum velo_residency reason, int *fd)
{
    struct velo_hold hold;
    velo_begin(region, &hold);
    const int rc =
        velo_finish(region, &hold, create_on_disk_locked(region, place, flags, mode, fd));
    if (rc == -EEXIST) { /* an outsider made something there: take it in, look again */
        velo_directory_refresh(region, place->at.parent);
        return VELO_AGAIN;
    }
    if (rc < 0)
        return rc;
    velo_escape(region, VELO_ESCAPE_DIRECT);
    VELO_TRACE(region, BORN_ON_DISK, place->at.parent.slot, reason);
    place->at.node = velo_node_from((uint32_t)rc);
    place->at.type = VELO_REGULAR;
    return 0;
}

static int open_on_disk(struct velo_region *region, struct velo_place *place, int flags,
                        mode_t mode, enum velo_residency reason)
{
    int fd = -1;
    const int rc = create_on_disk(region, place, flags, mode, reason, &fd);
    return rc != 0 ? rc : fd;
}

int velo_make_on_disk(struct velo_region *region, struct velo_place *place, mode_t mode)
{
    int none = -1;
    int rc = velo_may_change(region, place);
    if (rc == 0)
        rc = create_on_disk(region, place, ONLY_A_NAME, mode, VELO_DISK_WATCHED, &none);
    return rc == VELO_AGAIN ? -EEXIST : rc;
}

int velo_create(struct velo_region *region, struct velo_place *place, int flags, mode_t mode)
{
    if (place->asked.must_be_directory)
        return -EISDIR;
    if ((flags & O_DIRECTORY) != 0)
        return -EINVAL;
    const int rc = velo_may_change(region, place);
    if (rc != 0)
        return rc;
    if (velo_names_are_scarce(region) && velo_retire(region, place->at.parent) == 0)
        return VELO_AGAIN;
    const enum velo_residency residency =
        velo_residency_of_new(region, place, place->at.parent, flags);
    int fd = -ENOSPC;
    if (residency == VELO_IN_MEMORY)
        fd = create_in_memory(region, place, flags, mode);
    if (fd == -ENOSPC)
        fd = open_on_disk(region, place, flags, mode,
                          residency == VELO_IN_MEMORY ? VELO_DISK_SPACE : residency);
    return fd;
}
