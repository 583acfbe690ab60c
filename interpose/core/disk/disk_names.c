/* disk_names.c - what the disk says of a file by its names there.  See disk_names.h. */
#include "disk_names.h"

#include <errno.h>

#include "rights.h"
#include "kernel/os.h"
#include "core/arena/process.h"
#include "core/tree/stamps.h"
#include "core/tree/tree.h"
#include "core/tree/path.h"

/* A frame of its own: few need it. */
__attribute__((noinline)) static int probe_name_locked(struct velo_region *region,
                                                       velo_name_id index, struct stat *disk)
{
    const struct velo_name *name = velo_name_at(region, index);
    char path[PATH_MAX], text[VELO_NAME_MAX + 1];
    const size_t length = velo_name_text(region, name, text);
    const int rc = velo_name_path(region, name->parent, text, length, path);
    return rc < 0 ? rc : velo_lstat_with_rights_locked(region, name->parent, path, disk);
}

void velo_writer_died_locked(struct velo_region *region, velo_name_id index,
                             const struct stat *disk)
{
    struct velo_name *name = velo_name_at(region, index);
    struct stat now;
    if (name->writer == 0 || velo_writer_alive(region, name->writer))
        return;
    const uint64_t replaced = name->disk_inode;
    velo_set32(region, &name->writer, 0);
    velo_set64(region, &name->disk_version, 0);
    const int rc = disk == NULL ? probe_name_locked(region, index, &now) : 0;
    if (rc == 0) /* which inode it is, a recovery will want to know (rename.c) */
        velo_name_disk_locked(region, index, 0, disk == NULL ? &now : disk);
    else if (rc == -ENOENT)
        velo_name_disk_locked(region, index, 0, NULL);
    else
        velo_name_flags_locked(region, index, name->flags | VELO_NAME_ON_DISK);
    if (name->disk_inode != replaced)
        velo_copy_lost_locked(region, name->parent, replaced);
}

static velo_name_id name_with_inode(const struct velo_region *region, const struct velo_node *node,
                                    uint64_t inode)
{
    velo_name_id index = node->first_name;
    uint32_t steps = 0;
    while (velo_is_name(index) && velo_name_at(region, index)->disk_inode != inode)
        index = velo_next_of_node(region, index, &steps);
    return index;
}

void velo_copy_lost_locked(struct velo_region *region, velo_node_id directory, uint64_t inode)
{
    const uint64_t device = velo_node_at(region, directory)->identity[VELO_ID_DISK].device;
    const velo_node_id node = inode == 0 ? VELO_NO_NODE : velo_identity_find(region, device, inode);
    if (!velo_is_node(node) || velo_node_at(region, node)->identity[VELO_ID_DISK].inode != inode)
        return;
    const velo_name_id index = name_with_inode(region, velo_node_at(region, node), inode);
    if (!velo_is_name(index)) {
        velo_identity_clear_locked(region, node, VELO_ID_DISK);
        return;
    }
    const struct velo_name *name = velo_name_at(region, index);
    char path[PATH_MAX], text[VELO_NAME_MAX + 1];
    struct stat disk;
    const size_t length = velo_name_text(region, name, text);
    if (velo_name_path(region, name->parent, text, length, path) > 0 &&
        velo_lstat_with_rights_locked(region, name->parent, path, &disk) == 0 &&
        disk.st_ino == inode)
        velo_names_record_locked(region, node, &disk);
}

/* On disk the kernel did it already: what it says by any of the names. */
__attribute__((noinline)) static int64_t disk_renamed(struct velo_region *region,
                                                      const struct velo_node *node)
{
    char path[PATH_MAX], text[VELO_NAME_MAX + 1];
    struct stat stat;
    const uint64_t inode = node->identity[VELO_ID_DISK].inode;
    const velo_name_id index = name_with_inode(region, node, inode);
    if (!velo_is_name(index))
        return 0;
    const struct velo_name *name = velo_name_at(region, index);
    const size_t length = velo_name_text(region, name, text);
    return velo_name_path(region, name->parent, text, length, path) > 0 &&
                   velo_lstat_with_rights_locked(region, name->parent, path, &stat) == 0 &&
                   stat.st_ino == inode && velo_ns(&stat.st_ctim) > node->ctime_ns
               ? velo_ns(&stat.st_ctim)
               : 0;
}

/* The kernel stamps its inode and so remembers which times programs were shown: a chown that changes
 * nothing changes the ctime. It would take set-user-ID bits away, too; a chmod does not, but the owner
 * alone may do that. 0: a stamp of ours must do. */
static int64_t kernel_renamed(struct velo_region *region, const struct velo_node *node)
{
    char path[320];
    struct stat stat;
    if (node->type != VELO_REGULAR || node->state == VELO_DISK)
        return disk_renamed(region, node);
    if (node->state != VELO_BACKED)
        return 0;
    velo_backing_path(region, node->backing, path);
    const int special = (node->mode & (S_ISUID | S_ISGID)) != 0;
    if (special && velo_os_lstat(path, &stat) != 0) /* a write has perhaps taken the bits since */
        return 0;
    const long rc =
        special ? velo_sys3(SYS_fchmodat, AT_FDCWD, velo_word(path), stat.st_mode & 07777)
                : velo_sys5(SYS_fchownat, AT_FDCWD, velo_word(path), (uid_t)-1, (gid_t)-1, 0);
    return rc == 0 && velo_os_lstat(path, &stat) == 0 ? velo_ns(&stat.st_ctim) : 0;
}

void velo_renamed_locked(struct velo_region *region, velo_node_id index)
{
    struct velo_node *node = velo_node_at(region, index);
    const int64_t kernel = node->type != VELO_DIRECTORY ? kernel_renamed(region, node) : 0;
    velo_set_time(region, &node->ctime_ns, kernel != 0 ? kernel : velo_stamp(region, 1));
}

void velo_ctime_advance_locked(struct velo_region *region, velo_node_id index, const char *path)
{
    const struct velo_node *node = velo_node_at(region, index);
    struct stat seen;
    if (node->type == VELO_SYMLINK || (node->type == VELO_REGULAR && node->state == VELO_DISK))
        velo_os_lstat(path, &seen);
}

void velo_lose_link_locked(struct velo_region *region, velo_node_id index)
{
    const struct velo_node *node = velo_node_at(region, index);
    if (node->links > 0 || node->state == VELO_BACKED) /* or a process may have it open still */
        velo_renamed_locked(region, index);
    if (node->links == 0)
        velo_node_drop_locked(region, index);
}

int velo_busy_writeback(const struct velo_region *region, const struct velo_name *name)
{
    const uint32_t writer = VELO_READ(name->writer);
    return writer != 0 && velo_writer_alive(region, writer);
}
