/* relocate.c - a file that outgrows memory while it is written goes on at its real path.
 *
 * What is there so far is put; then, under the lock, the file becomes DISK, if the kernel says that
 * the caller's descriptor is the only open one.  A process that opens it meanwhile meets the lock:
 * readers look at the state after they opened, writers raise the version (file.c). */

#include <errno.h>
#include <fcntl.h>

#include "copy.h"
#include "kernel/lease.h"
#include "rights.h"
#include "writeback.h"
#include "kernel/os.h"
#include "kernel/text.h"
#include "core/tree/snapshot.h"
#include "core/tree/stamps.h"
#include "core/arena/process.h"
#include "core/arena/trace.h"
#include "core/tree/tree.h"

#define NAMES_MAX 60u /* all are recorded in one change of the tree */
#define TRIES 3
#define STATUS_FLAGS (O_ACCMODE | O_APPEND | O_NONBLOCK | O_SYNC | O_DSYNC | O_NOATIME | O_NOFOLLOW)

/* No other open file description. The descriptor is the program's: the owner and number of its signals
 * are put back as they were. */
static int only_description(int fd)
{
    struct f_owner_ex owner = {0};
    const long signal = velo_sys3(SYS_fcntl, fd, F_GETSIG, 0);
    velo_sys3(SYS_fcntl, fd, F_GETOWN_EX, velo_word(&owner));
    const int granted = velo_nobody_else_has(fd);
    velo_sys3(SYS_fcntl, fd, F_SETSIG, signal);
    velo_sys3(SYS_fcntl, fd, F_SETOWN_EX, velo_word(&owner));
    return granted;
}

/* All names of it lead to the one file on disk. */
static int all_on_disk_locked(struct velo_region *region, const struct velo_node *node,
                              const struct stat *disk)
{
    uint32_t steps = 0;
    for (velo_name_id name = node->first_name; velo_is_name(name);
         name = velo_next_of_node(region, name, &steps)) {
        const struct velo_name *entry = velo_name_at(region, name);
        if ((entry->flags & VELO_NAME_ON_DISK) == 0 || entry->disk_inode != disk->st_ino)
            return 0;
    }
    return velo_is_name(node->first_name);
}

static int relocate_locked(struct velo_region *region, velo_node_id index,
                           const struct velo_snapshot *snapshot, int fd, const struct stat *memory,
                           const struct stat *disk)
{
    struct velo_node *node = velo_node_at(region, index);
    if (node->generation != snapshot->generation || node->state != VELO_BACKED ||
        node->backing != snapshot->backing || node->version != snapshot->version ||
        node->links > NAMES_MAX)
        return -EBUSY;
    velo_readers_wait(region); /* an open before this is seen; an open after it looks again */
    if (!all_on_disk_locked(region, node, disk) || !only_description(fd))
        return -EBUSY;
    uint32_t steps = 0;
    for (velo_name_id name = node->first_name; velo_is_name(name);
         name = velo_next_of_node(region, name, &steps))
        velo_name_disk_locked(region, name, node->version, disk);
    velo_identity_set_locked(region, index, VELO_ID_DISK, disk->st_dev, disk->st_ino);
    velo_identity_clear_locked(region, index, VELO_ID_ARENA);
    velo_charge_set_locked(region, index, 0);
    velo_state_set_locked(region, index, VELO_DISK);
    velo_set64(region, &node->backing, 0);
    velo_set64(region, &node->refreshed, 0); /* size and times are the disk's from now on */
    /* But the move itself is no change: until the disk's ctime is another one, memory's is shown. */
    velo_set_time(region, &node->ctime_ns, velo_ctime_of(node, velo_ns(&memory->st_ctim)));
    velo_set_time(region, &node->copied_ns, velo_ns(&disk->st_ctim));
    velo_program_locked(region, index);
    return 0;
}

/* ---- files without a name -------------------------------------------------------------------- */

/* A file without a name on the disk of the last one, with fd's flags. */
static int open_unnamed(struct velo_region *region, velo_node_id index, int fd)
{
    char path[PATH_MAX], link[14 + VELO_DECIMAL_MAX] = "/proc/self/fd/";
    const int linkable = (VELO_READ(velo_node_at(region, index)->flags) & VELO_NODE_LINKABLE) != 0;
    const long flags = velo_sys3(SYS_fcntl, fd, F_GETFL, 0) & STATUS_FLAGS;
    int length = velo_last_path_of(region, index, path);
    while (length > 0 && path[length - 1] != '/')
        length--;
    if (length <= 0 || (flags & O_ACCMODE) == O_RDONLY)
        return -EBUSY;
    path[length] = 0;
    const int made =
        velo_os_open(path, (int)flags | O_TMPFILE | O_CLOEXEC | (linkable ? 0 : O_EXCL), 0600);
    if (made < 0 || linkable)
        return made;
    velo_write_decimal(link + 14, (uint64_t)made); /* F_GETFL shows O_TMPFILE: it had a name */
    const int to = velo_os_open(link, (int)flags | O_CLOEXEC, 0);
    if (to >= 0)
        velo_os_close(made);
    return to >= 0 ? to : made;
}

static int copy_unnamed(struct velo_region *region, velo_node_id index, uint64_t backing, int to)
{
    char path[320];
    struct stat stat;
    velo_backing_path(region, backing, path);
    const int from = velo_open_file_with_rights(region, index, VELO_ID_ARENA, path, O_NOATIME);
    if (from < 0)
        return from;
    int rc = velo_copy_bytes(from, to);
    if (rc == 0)
        rc = velo_fstat_unlent(region, from, &stat);
    if (rc == 0)
        rc = velo_copy_attributes(from, to, &stat);
    velo_os_close(from);
    return rc;
}

/* The file has no name and goes on outside of the namespace, where velo does not know it. */
static int forget_locked(struct velo_region *region, velo_node_id index,
                         const struct velo_snapshot *snapshot, int fd, const struct stat *before)
{
    const struct velo_node *node = velo_node_at(region, index);
    struct stat now;
    if (node->generation != snapshot->generation || node->state != VELO_BACKED ||
        node->backing != snapshot->backing || node->version != snapshot->version ||
        node->links != 0 || velo_os_fstat(fd, &now) != 0 || now.st_size != before->st_size ||
        velo_ns(&now.st_mtim) != velo_ns(&before->st_mtim) ||
        velo_somebody_is_aside(region, index) || !only_description(fd))
        return -EBUSY;
    velo_node_free_locked(region, index);
    return 0;
}

static int relocate_unnamed(struct velo_region *region, velo_node_id index,
                            const struct velo_snapshot *snapshot, int fd)
{
    struct stat before;
    struct velo_hold hold;
    char path[320];
    const int to = open_unnamed(region, index, fd);
    if (to < 0)
        return to;
    int rc = velo_os_fstat(fd, &before);
    if (rc == 0)
        rc = copy_unnamed(region, index, snapshot->backing, to);
    if (rc == 0) {
        velo_begin(region, &hold);
        rc = velo_finish(region, &hold, forget_locked(region, index, snapshot, fd, &before));
    }
    if (rc != 0) {
        velo_os_close(to);
        return rc;
    }
    velo_backing_path(region, snapshot->backing, path);
    velo_os_unlink(path);
    velo_escape(region, VELO_ESCAPE_DIRECT);
    return to;
}

/* ---- files with a name ----------------------------------------------------------------------- */

/* The bytes that were put were the file's; but the caller writes on, and in memory. */
static void still_written(struct velo_region *region, velo_node_id index, uint32_t generation)
{
    struct velo_hold hold;
    velo_begin(region, &hold);
    const struct velo_node *node = velo_node_at(region, index);
    if (node->generation == generation && node->state == VELO_BACKED)
        velo_dirty_locked(region, index);
    velo_commit(region, &hold);
}

/* A descriptor of the file on disk, and the node is DISK; or -errno, and all names may say that the disk has it. */
static int relocate_named(struct velo_region *region, velo_node_id index,
                          const struct velo_snapshot *snapshot, int fd)
{
    struct stat before, memory, disk;
    struct velo_hold hold;
    char path[PATH_MAX];
    int rc = velo_os_fstat(fd, &before);
    if (rc == 0)
        rc = velo_writeback(region, index, VELO_FLUSH_OURS);
    if (rc >= 0)
        rc = velo_path_of(region, index, path);
    if (rc < 0)
        return rc;
    const long flags = velo_sys3(SYS_fcntl, fd, F_GETFL, 0) & STATUS_FLAGS;
    /* It may be another file by now: that is checked below. */
    const int to = velo_open_file_with_rights(region, index, VELO_ID_DISK, path, (int)flags);
    if (to < 0)
        return to;
    rc = velo_os_fstat(fd, &memory);
    if (rc == 0)
        rc = velo_os_fstat(to, &disk);
    if (rc == 0 &&
        (memory.st_size != disk.st_size || velo_ns(&memory.st_mtim) != velo_ns(&before.st_mtim)))
        rc = -EBUSY;
    if (rc == 0) {
        velo_begin(region, &hold);
        rc = velo_finish(region, &hold,
                         relocate_locked(region, index, snapshot, fd, &memory, &disk));
    }
    if (rc != 0)
        velo_os_close(to);
    return rc != 0 ? rc : to;
}

int velo_relocate(struct velo_region *region, velo_node_id index, int fd)
{
    struct velo_snapshot snapshot;
    char path[320];
    int rc = velo_snapshot_take(region, index, &snapshot);
    if (rc != 0 || snapshot.state != VELO_BACKED)
        return -EBUSY;
    if (snapshot.links == 0)
        return relocate_unnamed(region, index, &snapshot, fd);
    if (snapshot.links > NAMES_MAX)
        return -EMLINK;
    /* To ask for other descriptions takes a lease, which would end a program's own one. */
    if (velo_has_program_lease(region, index) || !only_description(fd))
        return -EBUSY;
    const int to = relocate_named(region, index, &snapshot, fd);
    if (to < 0) {
        still_written(region, index, snapshot.generation);
        return to;
    }
    velo_backing_path(region, snapshot.backing, path);
    velo_os_unlink(path);
    velo_escape(region, VELO_ESCAPE_DIRECT);
    VELO_TRACE(region, RELOCATED, index.slot, 0);
    return to;
}

int velo_reopen(struct velo_region *region, velo_node_id node, int flags)
{
    int fd = -EBUSY;
    flags = (flags & STATUS_FLAGS & ~O_NOFOLLOW) | O_CLOEXEC;
    for (int try = 0; try < TRIES && fd < 0; try++) {
        struct velo_snapshot before, after;
        char path[PATH_MAX];
        int rc = velo_snapshot_take(region, node, &before);
        if (rc != 0)
            return rc;
        if (before.state == VELO_COLD) /* a shard took it while no process had it open */
            velo_load(region, node);
        else if (before.state == VELO_BACKED)
            fd = velo_reopen_in_memory(region, node, flags);
        else if (before.state == VELO_DISK && (fd = velo_path_of(region, node, path)) >= 0)
            fd = velo_open_file_with_rights(region, node, VELO_ID_DISK, path, flags);
        rc = velo_snapshot_take(region, node, &after);
        if (fd >= 0 && (rc != 0 || before.generation != after.generation ||
                        before.state != after.state || before.backing != after.backing)) {
            velo_os_close(fd);
            fd = -EBUSY;
        }
    }
    return fd;
}

void velo_stays_on_disk(struct velo_region *region, velo_node_id index)
{
    struct velo_node *node = velo_node_at(region, index);
    struct velo_hold hold;
    velo_begin(region, &hold);
    if (node->type == VELO_REGULAR && node->state == VELO_DISK)
        velo_set32(region, &node->flags, node->flags | VELO_NODE_LINKED_OUTSIDE);
    velo_commit(region, &hold);
}
