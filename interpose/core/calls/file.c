/* file.c - opening regular files that exist, and velo_open, the door to all of it.
 *
 * The bytes of a BACKED file are a tmpfs file that has the hosted file's own mode, owner and times.  It is
 * made by openat with the program's own mode, so umask, O_APPEND, permissions and stamps are the kernel's.
 * A program that opens for writing opens first.  Then, under the lock, it looks whether the node still
 * means that tmpfs file (if not, it closes and starts over), and raises the node's version.
 * A process that refreshes, puts or evicts the file notes the version, and asks the kernel for writers.  It
 * believes the answer only if the version is the same afterwards: it saw us open, or it sees the version. */
#include "core/arena/layout.h"
#include "core/tree/outcome.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "core/disk/copy.h"
#include "core/disk/leave.h"
#include "core/disk/missing.h"
#include "kernel/os.h"
#include "core/disk/poison.h"
#include "core/disk/reconcile.h"
#include "core/disk/residency.h"
#include "core/tree/snapshot.h"
#include "core/disk/space.h"
#include "core/tree/tree.h"
#include "core/presence/watch.h"
#include "core/calls/create.h"
#include "core/calls/again.h"

#define ATTEMPTS_MAX 1000

/* The flags of the program's that may be passed on when the file exists already. */
#define REOPEN_MASK (~(O_CREAT | O_EXCL | O_DIRECTORY)) /* F_GETFL shows the others */

static int writes(int flags)
{
    return (flags & O_PATH) == 0 && ((flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0);
}

/* A file that is on disk again, after it was in memory, is another file there. */
static int is_same(const struct velo_snapshot *now, const struct velo_snapshot *before)
{
    return now->generation == before->generation && now->state == before->state &&
           now->backing == before->backing &&
           (now->state != VELO_DISK || now->disk_inode == before->disk_inode);
}

static int still(struct velo_region *region, velo_node_id index,
                 const struct velo_snapshot *snapshot)
{
    struct velo_snapshot now;
    return velo_snapshot_take(region, index, &now) == 0 && is_same(&now, snapshot);
}

/* ---- files that exist ------------------------------------------------------------------------ */

/* Raise the version for a change that is possible from now on. 0, or VELO_AGAIN when the node is
 * not what `snapshot` saw. */
static int announce(struct velo_region *region, velo_node_id index,
                    const struct velo_snapshot *snapshot)
{
    struct velo_hold hold;
    velo_begin(region, &hold);
    const struct velo_node *node = velo_node_at(region, index);
    const struct velo_snapshot now = {.generation = node->generation,
                                      .state = node->state,
                                      .backing = node->backing,
                                      .disk_inode = node->identity[VELO_ID_DISK].inode};
    int rc = VELO_AGAIN;
    if (is_same(&now, snapshot)) {
        velo_dirty_locked(region, index);
        velo_poison_set_locked(region, index);
        rc = 0;
    }
    return velo_finish(region, &hold, rc);
}

/* A program that runs may not be written, and what runs is the disk's copy. */
static int is_running(struct velo_region *region, const struct velo_place *place)
{
    if ((VELO_READ(velo_node_at(region, place->at.node)->flags) & VELO_NODE_PROGRAM) == 0)
        return 0;
    const int fd =
        velo_os_open(place->text.path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
    if (fd >= 0)
        velo_os_close(fd);
    return fd == -ETXTBSY;
}

static void note_opath_fd(struct velo_region *region, velo_node_id index)
{
    struct velo_node *node = velo_node_at(region, index);
    struct velo_hold hold;
    if ((VELO_READ(node->flags) & VELO_NODE_HAS_OPATH_FD) != 0)
        return;
    velo_begin(region, &hold);
    if (node->type == VELO_REGULAR)
        velo_set32(region, &node->flags, node->flags | VELO_NODE_HAS_OPATH_FD);
    velo_commit(region, &hold);
}

/* O_NONBLOCK met a lease that is not a program's: of a shard that is just looking, and perhaps gets no
 * processor for a while.  A plain open waits for that lease, so the program does not hear of it. */
static int open_past_lease(const char *path, int flags)
{
    const int fd = velo_os_open(path, flags & ~O_NONBLOCK, 0);
    if (fd >= 0)
        velo_sys3(SYS_fcntl, fd, F_SETFL, velo_sys3(SYS_fcntl, fd, F_GETFL, 0) | O_NONBLOCK);
    return fd;
}

static int open_backed(struct velo_region *region, struct velo_place *place,
                       const struct velo_snapshot *snapshot, int flags)
{
    char path[320];
    velo_backing_path(region, snapshot->backing, path);
    const int writing = writes(flags);
    if (writing && is_running(region, place))
        return -ETXTBSY;
    if (writing)
        velo_space_for_open(region, snapshot->home, 0); /* as there is; the file is here already */
    if ((flags & O_PATH) != 0)
        note_opath_fd(region, place->at.node);
    if ((flags & O_TRUNC) != 0 && announce(region, place->at.node, snapshot) != 0)
        return VELO_AGAIN; /* before, too: opening alone changes it, and we may be killed then */
    int fd = velo_os_open(path, flags & REOPEN_MASK, 0);
    if (fd == -EAGAIN && !velo_has_program_lease(region, place->at.node))
        fd = open_past_lease(path, flags & REOPEN_MASK);
    if (fd == -ENOENT) {
        velo_missing_ask(region, place->at.node);
        return VELO_AGAIN;
    }
    if (fd == -EAGAIN)
        return fd;
    if (fd >= 0 && (writing ? announce(region, place->at.node, snapshot) != 0
                            : !still(region, place->at.node, snapshot))) {
        velo_os_close(fd);
        return VELO_AGAIN;
    }
    velo_tick(region, place->at.node);
    return fd;
}

/* A thing on disk is opened by the namespace's path. If that fails, the program's own relative path may do:
 * it needs no right to search the directories above, and none of them may be in the middle of a rename. */
static int open_standing(const struct velo_place *place, int flags)
{
    const int fd = velo_os_open(place->text.path, flags, 0);
    if ((fd != -EACCES && fd != -ENOENT) || place->asked.given == NULL)
        return fd;
    return velo_os_openat(place->asked.base, place->asked.given, flags, 0);
}

/* Open the disk's file of a DISK node, and be sure that it is that: -ENOENT when another file has the
 * name by now.  An open descriptor keeps the file from memory (copy.c).  But it may have been copied up
 * before, put as another file, and evicted: so it is compared with what was there at first, and the
 * caller asks afterwards whether that still is. */
static int open_the_disks(struct velo_region *region, const struct velo_place *place,
                          const struct velo_snapshot *snapshot, int flags)
{
    struct stat stat;
    int fd = open_standing(place, flags & REOPEN_MASK);
    if (fd == -EAGAIN && !velo_has_program_lease(region, place->at.node))
        fd = open_past_lease(place->text.path, flags & REOPEN_MASK);
    if (fd < 0 || (velo_os_fstat(fd, &stat) == 0 && stat.st_ino == snapshot->disk_inode))
        return fd;
    velo_os_close(fd);
    return -ENOENT;
}

/* Write to the file on disk itself: memory is full and no shard can make room, or others have the file
 * open there.  It is opened first and announced then, as in memory.  A process that copies it up
 * meanwhile either is refused the lease (copy.c) or was first, and then we start over.  So nothing is
 * truncated before that is known. */
static int open_direct(struct velo_region *region, struct velo_place *place,
                       const struct velo_snapshot *snapshot, int flags)
{
    const int truncates = (flags & O_TRUNC) != 0;
    const int only_truncates = truncates && (flags & O_ACCMODE) == O_RDONLY;
    if (truncates && velo_belongs_on_disk(region, place->at.node)) { /* no process copies that up */
        velo_escape(region, VELO_ESCAPE_DIRECT);
        const int announced = announce(region, place->at.node, snapshot);
        return announced != 0 ? announced : open_the_disks(region, place, snapshot, flags);
    }
    int fd = open_the_disks(region, place, snapshot,
                            only_truncates ? O_WRONLY | O_CLOEXEC : flags & ~O_TRUNC);
    if (fd < 0)
        return fd;
    int rc = announce(region, place->at.node, snapshot);
    if (rc == 0)
        velo_escape(region, VELO_ESCAPE_DIRECT);
    if (rc == 0 && truncates)
        rc = velo_os_ftruncate(fd, 0);
    if (rc == 0 && !only_truncates)
        return fd;
    velo_os_close(fd);
    return rc != 0 ? rc : open_the_disks(region, place, snapshot, flags & ~O_TRUNC);
}

/* Is the file so large that it would have to leave memory again at once, after all other files? */
static int too_large(const struct velo_region *region, const struct stat *disk, int flags)
{
    return (flags & O_TRUNC) == 0 && (uint64_t)disk->st_size > velo_limit_bytes(region) / 2;
}

static int open_disk_to_write(struct velo_region *region, struct velo_place *place,
                              const struct velo_snapshot *snapshot, int flags)
{
    struct stat disk;
    /* All that the open will need, before anything is truncated or copied for it. */
    const int rights = (flags & O_ACCMODE) == O_WRONLY ? W_OK : R_OK | W_OK;
    int rc = velo_os_access(place->text.path, rights, AT_EACCESS);
    if (rc == -EACCES && place->asked.given != NULL &&
        velo_os_accessat(place->asked.base, place->asked.given, rights, AT_EACCESS) == 0)
        return open_direct(region, place, snapshot, flags); /* it is the way that is closed */
    if (rc != 0)
        return rc;
    rc = velo_os_lstat(place->text.path, &disk);
    if (rc != 0)
        return rc;
    if (velo_residency_to_write(region, place, snapshot) != VELO_IN_MEMORY ||
        velo_has_outside_names(region, place->at.node, &disk) || too_large(region, &disk, flags))
        return open_direct(region, place, snapshot, flags);
    rc = velo_space_for_open(region, snapshot->home,
                             (flags & O_TRUNC) == 0 ? (uint64_t)disk.st_size : 0);
    if (rc == 0)
        rc = velo_copy_up(region, place, snapshot, (flags & O_TRUNC) != 0);
    if (rc == -ENOSPC || rc == -EBUSY)
        return open_direct(region, place, snapshot, flags);
    return rc == 0 ? VELO_AGAIN : rc;
}

/* The disk says ENOENT where the namespace has a file. If the namespace still has it, an outsider removed
 * it. The comparison is under the lock: a client may have put another file there since. */
static int gone_from_disk(struct velo_region *region, const struct velo_place *place,
                          const struct velo_snapshot *snapshot)
{
    if (still(region, place->at.node, snapshot))
        velo_directory_refresh(region, place->at.parent);
    return VELO_AGAIN;
}

static int open_disk(struct velo_region *region, struct velo_place *place,
                     const struct velo_snapshot *snapshot, int flags)
{
    if (writes(flags)) {
        const int rc = open_disk_to_write(region, place, snapshot, flags);
        return rc == -ENOENT ? gone_from_disk(region, place, snapshot) : rc;
    }
    const int fd = open_the_disks(region, place, snapshot, flags);
    if (fd >= 0 && still(region, place->at.node, snapshot))
        return fd;
    if (fd >= 0)
        velo_os_close(fd);
    else if (fd != -ENOENT)
        return fd;
    return gone_from_disk(region, place, snapshot);
}

static int open_regular(struct velo_region *region, struct velo_place *place, int flags)
{
    struct velo_snapshot snapshot;
    const int rc = velo_snapshot_take(region, place->at.node, &snapshot);
    if (rc != 0 || snapshot.generation != place->at.generation || snapshot.links == 0)
        return VELO_AGAIN;
    switch (snapshot.state) {
    case VELO_BACKED:
        if (writes(flags) && velo_residency_to_write(region, place, &snapshot) != VELO_IN_MEMORY &&
            velo_leave_memory(region, place->at.node) == 0)
            return VELO_AGAIN;
        return open_backed(region, place, &snapshot, flags);
    case VELO_DISK:
        return open_disk(region, place, &snapshot, flags);
    case VELO_COLD: {
        const int loaded = velo_load(region, place->at.node);
        return loaded == 0 ? VELO_AGAIN : loaded;
    }
    default:
        return -EIO;
    }
}

/* A directory, symlink, socket, FIFO or device stands on disk, so the kernel opens it. Without O_CREAT:
 * it may have gone since the walk, and the namespace would not know what the kernel made in its place. */
static int open_other(struct velo_region *region, const struct velo_place *place, int flags)
{
    if ((flags & O_CREAT) != 0 && place->at.type == VELO_DIRECTORY)
        return -EISDIR;
    const int fd = open_standing(place, flags & ~O_CREAT);
    if (fd != -ENOENT || !velo_is_node(place->at.parent))
        return fd;
    if (VELO_READ(velo_node_at(region, place->at.node)->generation) == place->at.generation)
        velo_directory_refresh(region, place->at.parent); /* removed behind our back */
    return VELO_AGAIN;
}

static int open_existing(struct velo_region *region, struct velo_place *place, int flags)
{
    if ((flags & O_CREAT) != 0 && (flags & O_DIRECTORY) != 0)
        return -EINVAL;
    if ((flags & O_CREAT) != 0 && place->asked.must_be_directory && place->asked.dots == 0)
        return -EISDIR;
    if ((flags & O_CREAT) != 0 && (flags & O_EXCL) != 0)
        return -EEXIST;
    if (place->at.type != VELO_REGULAR)
        return open_other(region, place, flags);
    if (place->asked.must_be_directory || (flags & O_DIRECTORY) != 0)
        return -ENOTDIR;
    return open_regular(region, place, flags);
}

int velo_open(struct velo_region *region, struct velo_place *place, int flags, mode_t mode)
{
    if (place->asked.too_long)
        return -ENAMETOOLONG;
    const unsigned walk =
        (flags & O_NOFOLLOW) != 0 || (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)
            ? VELO_WALK_NOFOLLOW
            : 0;
    for (int attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        int fd;
        if (place->at.kind == VELO_OUTSIDE)
            return velo_os_open(place->text.path, flags, mode);
        if (place->at.type != VELO_NONE)
            fd = open_existing(region, place, flags);
        else if ((flags & O_CREAT) != 0)
            fd = velo_create(region, place, flags, mode);
        else
            return -ENOENT;
        if (fd != VELO_AGAIN)
            return fd;
        const int rc = velo_walk_again(region, walk, place);
        if (rc != 0)
            return rc;
    }
    return -EIO;
}

/* 0: the disk's own path, announced. */
static int path_to_write(struct velo_region *region, struct velo_place *place,
                         const struct velo_snapshot *snapshot)
{
    const int rc = velo_copy_up(region, place, snapshot, 0);
    if (rc == -EBUSY || rc == -ENOSPC)
        return announce(region, place->at.node, snapshot);
    return rc == -ENOENT ? gone_from_disk(region, place, snapshot) : VELO_AGAIN;
}

int velo_kernel_path(struct velo_region *region, struct velo_place *place, int for_writing,
                     char path[PATH_MAX])
{
    for (int attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        struct velo_snapshot snapshot;
        if (place->at.kind == VELO_OUTSIDE || place->at.type != VELO_REGULAR)
            break;
        int rc = velo_snapshot_take(region, place->at.node, &snapshot);
        if (rc == 0 && snapshot.state == VELO_BACKED && for_writing)
            rc = announce(region, place->at.node, &snapshot);
        else if (rc == 0 && snapshot.state == VELO_DISK && for_writing)
            rc = path_to_write(region, place, &snapshot);
        else if (rc == 0 && snapshot.state == VELO_COLD)
            rc = velo_load(region, place->at.node) == 0 ? VELO_AGAIN : -EIO;
        if (rc == 0 && snapshot.state == VELO_BACKED) {
            velo_backing_path(region, snapshot.backing, path);
            return 0;
        }
        if (rc == 0)
            break;
        if (rc != VELO_AGAIN)
            return rc;
        rc = velo_walk_again(region, VELO_WALK_NOFOLLOW, place);
        if (rc != 0)
            return rc;
    }
    if (path != place->text.path)
        memcpy(path, place->text.path, (size_t)place->text.path_length + 1);
    return place->at.kind == VELO_HOSTED && place->at.type == VELO_NONE ? -ENOENT : 0;
}
