/* copy.c - bytes on their way into memory: from the real path (copy up), from the store (load).
 *
 * Both fill a tmpfs file that no node knows yet.  They publish it under the lock, if the node is still
 * what it was when the copy began; else the work is thrown away and the caller looks again. */
#include "core/tree/outcome.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/sendfile.h>

#include "copy.h"
#include "kernel/lease.h"
#include "rights.h"
#include "kernel/os.h"
#include "poison.h"
#include "residency.h"
#include "core/tree/snapshot.h"
#include "core/tree/stamps.h"
#include "core/tree/tree.h"
#include "core/presence/watch.h"
#include "core/tree/path.h"
#include "core/disk/xattr.h"

#define COPY_CHUNK (1u << 20)

/* From `at` to `end`, or to where the file ends. */
static int copy_range(int from, int to, off_t at, off_t end)
{
    while (at < end) {
        const off_t left = end - at;
        const long got = velo_sys4(SYS_sendfile, to, from, velo_word(&at),
                                   left < COPY_CHUNK ? left : COPY_CHUNK);
        if (got == -EINTR || got == -EAGAIN)
            continue;
        if (got <= 0)
            return (int)got;
    }
    return 0;
}

/* A disk image may be nearly all hole, and larger than memory and disk. */
static int copy_data(int from, int to, off_t size)
{
    for (off_t at = 0; at < size;) {
        const off_t data = velo_sys3(SYS_lseek, from, at, SEEK_DATA);
        if (data == -ENXIO)
            break;
        const off_t hole = data < 0 ? data : velo_sys3(SYS_lseek, from, data, SEEK_HOLE);
        if (hole < 0)
            return (int)hole;
        velo_sys3(SYS_lseek, to, data, SEEK_SET);
        const int rc = copy_range(from, to, data, hole);
        if (rc != 0)
            return rc;
        at = hole;
    }
    return velo_os_ftruncate(to, size);
}

int velo_copy_bytes(int from, int to)
{
    struct stat stat;
    const int rc = velo_os_fstat(from, &stat);
    if (rc != 0)
        return rc;
    return (off_t)stat.st_blocks * 512 < stat.st_size ? copy_data(from, to, stat.st_size)
                                                      : copy_range(from, to, 0, INT64_MAX);
}

static int copy_owner(int to, const struct stat *from)
{
    struct stat now;
    int rc = velo_os_fstat(to, &now);
    if (rc != 0 || (now.st_uid == from->st_uid && now.st_gid == from->st_gid))
        return rc;
    rc = velo_os_fchown(to, from->st_uid, from->st_gid);
    if (rc != 0)
        velo_os_fchown(to, (uid_t)-1, from->st_gid); /* not root: the group at least */
    return rc;
}

static void copy_mode_and_times(int to, const struct stat *from)
{
    const struct timespec times[2] = {from->st_atim, from->st_mtim};
    velo_os_fchmod(to, from->st_mode & 07777);
    velo_sys4(SYS_utimensat, to, 0, velo_word(times), 0);
}

/* In an order in which no step takes away what one before it gave: a new owner takes set-user-ID
 * bits and capabilities, an access control list sets the mode. */
int velo_copy_attributes(int from, int to, const struct stat *attributes)
{
    copy_owner(to, attributes);
    const int rc = from >= 0 ? velo_copy_xattrs(from, to) : 0;
    copy_mode_and_times(to, attributes);
    return rc;
}

static int publish_locked(struct velo_region *region, velo_node_id index,
                          const struct velo_snapshot *snapshot, uint64_t backing,
                          const struct stat *stat, int changed)
{
    struct velo_node *node = velo_node_at(region, index);
    int rc = VELO_AGAIN;
    if (node->generation == snapshot->generation && node->state == snapshot->state &&
        node->version == snapshot->version &&
        !velo_is_retired(region, velo_name_at(region, node->first_name)->parent)) {
        velo_set64(region, &node->backing, backing);
        velo_identity_set_locked(region, index, VELO_ID_ARENA, stat->st_dev, stat->st_ino);
        velo_state_set_locked(region, index, VELO_BACKED);
        velo_charge_set_locked(region, index, (uint64_t)stat->st_blocks * 512);
        velo_set_time(region, &node->copied_ns, changed ? 0 : velo_ns(&stat->st_ctim));
        if (changed) { /* else what was settled stays true: the copy has the same attributes */
            velo_dirty_locked(region, index);
            velo_poison_set_locked(region, index);
        }
        rc = 0;
    }
    return rc;
}

static int publish_load(struct velo_region *region, velo_node_id index,
                        const struct velo_snapshot *snapshot, uint64_t backing,
                        const struct stat *stat)
{
    struct velo_hold hold;
    velo_begin(region, &hold);
    return velo_finish(region, &hold, publish_locked(region, index, snapshot, backing, stat, 0));
}

int velo_has_outside_names(const struct velo_region *region, velo_node_id index,
                           const struct stat *disk)
{
    const struct velo_node *node = velo_node_at(region, index);
    return disk->st_nlink > VELO_READ(node->links) ||
           (VELO_READ(node->flags) & VELO_NODE_LINKED_OUTSIDE) != 0;
}

static void keep_ctime_locked(struct velo_region *region, velo_node_id index, int64_t disk_ns)
{
    struct velo_node *node = velo_node_at(region, index);
    velo_set_time(region, &node->ctime_ns, velo_ctime_of(node, disk_ns));
}

/* Another file may have taken the name between the walk and the open. */
static int is_the_disks(const struct velo_region *region, velo_node_id index,
                        const struct stat *disk)
{
    return VELO_READ(velo_node_at(region, index)->identity[VELO_ID_DISK].inode) == disk->st_ino;
}

/* No process may be left with the disk's file open when the bytes move away from it: what it wrote
 * there would be lost, and what it read there would be old.  The lease is held across the change, so a
 * process that opens the file meanwhile finds it BACKED when it looks again (file.c). */
static int publish_copy(struct velo_region *region, velo_node_id index,
                        const struct velo_snapshot *snapshot, uint64_t backing,
                        const struct stat *stat, int from, const struct stat *copied, int changed)
{
    struct velo_hold hold;
    struct stat now;
    velo_begin(region, &hold);
    int rc = velo_lease_take(from, F_WRLCK) ? 0 : -EBUSY;
    const int has_lease = rc == 0;
    if (rc == 0 && (velo_os_fstat(from, &now) != 0 || now.st_size != copied->st_size ||
                    velo_ns(&now.st_mtim) != velo_ns(&copied->st_mtim)))
        rc = VELO_AGAIN; /* an outsider wrote while we copied */
    if (rc == 0 && !is_the_disks(region, index, &now))
        rc = -ENOENT;
    if (rc == 0 && velo_has_outside_names(region, index, &now))
        rc = -EBUSY;
    if (rc == 0) /* what is shown so far, before it is compared with the new file's */
        keep_ctime_locked(region, index, velo_ns(&now.st_ctim));
    if (rc == 0)
        rc = publish_locked(region, index, snapshot, backing, stat, changed);
    if (rc == 0) /* it may have been written at its real path since velo put it there */
        velo_names_record_locked(region, index, &now);
    if (has_lease) /* readers of what is half changed wait for the lock */
        velo_lease_leave(from);
    return velo_finish(region, &hold, rc);
}

static int real_path(struct velo_region *region, velo_node_id index, char path[PATH_MAX])
{
    const int rc = velo_path_of(region, index, path);
    return rc < 0 ? rc : 0;
}

int velo_copy_up(struct velo_region *region, struct velo_place *place,
                 const struct velo_snapshot *snapshot, int truncate)
{
    if (velo_residency_to_write(region, place, snapshot) != VELO_IN_MEMORY)
        return -EBUSY;
    const int from = velo_open_file_with_rights(region, place->at.node, VELO_ID_DISK,
                                                place->text.path, O_NOFOLLOW);
    if (from < 0)
        return from;
    const uint64_t backing = velo_backing_new(region);
    char path[320];
    struct stat stat, made;
    velo_backing_path(region, backing, path);
    int rc = velo_fstat_unlent(region, from, &stat);
    if (rc == 0 && velo_has_outside_names(region, place->at.node, &stat))
        rc = -EBUSY;
    const int to = rc != 0 ? rc : velo_os_open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    rc = to < 0 ? to : 0;
    if (to >= 0) {
        /* What cannot be copied stays where it is known; found out before the bytes are copied, which take away
         * capabilities. */
        if (copy_owner(to, &stat) != 0 || velo_copy_all_xattrs(from, to) != 0)
            rc = -EBUSY;
        if (rc == 0 && !truncate)
            rc = velo_copy_bytes(from, to);
        if (rc == 0 && velo_copy_attributes(from, to, &stat) != 0)
            rc = -EBUSY;
        if (rc == 0)
            rc = velo_os_fstat(to, &made);
        if (rc == 0)
            rc = publish_copy(region, place->at.node, snapshot, backing, &made, from, &stat,
                              truncate);
        velo_os_close(to);
        if (rc != 0)
            velo_os_unlink(path);
    }
    velo_os_close(from);
    return rc;
}

int velo_load_begin(struct velo_region *region, velo_node_id index, uint64_t *token)
{
    struct velo_snapshot snapshot;
    const int rc = velo_snapshot_take(region, index, &snapshot);
    if (rc != 0)
        return rc;
    if (snapshot.state != VELO_COLD)
        return -EALREADY;
    char path[320];
    *token = velo_backing_new(region);
    velo_backing_path(region, *token, path);
    return velo_os_open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
}

int velo_load_end(struct velo_region *region, const struct velo_node_info *seen, uint64_t token,
                  int fd)
{
    const velo_node_id index = seen->node;
    struct velo_snapshot snapshot;
    struct stat stat = {0}, made;
    char path[320];
    velo_backing_path(region, token, path);
    int rc = velo_snapshot_take(region, index, &snapshot);
    if (rc == 0 && (snapshot.state != VELO_COLD || snapshot.generation != seen->generation ||
                    snapshot.version != seen->version))
        rc = -EALREADY;
    if (rc == 0) {
        const struct velo_node *node = velo_node_at(region, index);
        stat.st_mode = node->mode;
        stat.st_uid = node->uid;
        stat.st_gid = node->gid;
        stat.st_atim = velo_timespec(node->atime_ns);
        stat.st_mtim = velo_timespec(node->mtime_ns);
        velo_copy_attributes(-1, fd, &stat);
        rc = velo_os_fstat(fd, &made);
    }
    if (rc == 0)
        rc = publish_load(region, index, &snapshot, token, &made);
    velo_os_close(fd);
    if (rc == 0)
        atomic_fetch_add(&region->header->loads, 1);
    else
        velo_os_unlink(path);
    return rc == VELO_AGAIN ? -EALREADY : rc;
}

int velo_open_bytes(struct velo_region *region, velo_node_id index)
{
    struct velo_snapshot snapshot;
    int rc = velo_snapshot_take(region, index, &snapshot);
    if (rc != 0)
        return rc;
    if (velo_has_program_lease(region, index) || velo_belongs_on_disk(region, index))
        return -EAGAIN; /* a program would hear of it */
    char path[PATH_MAX];
    const unsigned which = snapshot.state == VELO_BACKED ? VELO_ID_ARENA : VELO_ID_DISK;
    if (snapshot.state == VELO_BACKED)
        velo_backing_path(region, snapshot.backing, path);
    else if (snapshot.state == VELO_DISK)
        rc = real_path(region, index, path);
    else
        rc = -EAGAIN;
    int fd = rc != 0
                 ? rc
                 : velo_open_file_with_rights(region, index, which, path, O_NOATIME | O_NONBLOCK);
    struct stat stat;
    if (fd >= 0 && which == VELO_ID_DISK &&
        (velo_os_fstat(fd, &stat) != 0 || !is_the_disks(region, index, &stat))) {
        velo_os_close(fd);
        fd = -EAGAIN;
    }
    return fd;
}

int velo_load(struct velo_region *region, velo_node_id index)
{
    const struct velo_node *node = velo_node_at(region, index);
    if (VELO_READ(node->type) != VELO_REGULAR || VELO_READ(node->state) != VELO_COLD)
        return 0;
    return region->ask == NULL
               ? -EIO
               : region->ask(region, VELO_ASK_LOAD, VELO_READ(node->home), index.slot);
}

int velo_fetch(struct velo_region *region, struct velo_place *place)
{
    return place->at.kind == VELO_HOSTED ? velo_load(region, place->at.node) : 0;
}
