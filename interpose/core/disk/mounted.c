/* mounted.c - names at which something is mounted are the kernel's (VELO_NODE_MOUNT), until it is gone.
 *
 * What was there before the mount stays known, hidden: it is compared with the disk when it can be seen
 * again.  No question here reaches a FUSE server, which may be a process inside. */
#include "mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

#include "kernel/os.h"
#include "pass.h"
#include "core/tree/tree.h"
#include "core/disk/mounted.h"

#ifndef STATX_ATTR_MOUNT_ROOT
#define STATX_ATTR_MOUNT_ROOT 0x2000
#endif
#ifndef ST_RDONLY
#define ST_RDONLY 1
#endif

/* 1 when something is mounted at the path, 0 when not, -errno; *out is what stands there. */
static int snapshot(int dirfd, const char *path, uint64_t device_above, struct stat *out)
{
    struct statx seen;
    memset(out, 0, sizeof *out);
    const long rc = velo_sys5(SYS_statx, dirfd, velo_word(path),
                              AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC,
                              STATX_BASIC_STATS, velo_word(&seen));
    if (rc != 0)
        return (int)rc;
    out->st_dev = makedev(seen.stx_dev_major, seen.stx_dev_minor);
    out->st_ino = seen.stx_ino;
    out->st_mode = seen.stx_mode;
    out->st_nlink = seen.stx_nlink;
    out->st_uid = seen.stx_uid;
    out->st_gid = seen.stx_gid;
    if ((seen.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) != 0)
        return (seen.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
    return device_above != 0 && out->st_dev != device_above; /* before Linux 5.8 */
}

static void mark_locked(struct velo_region *region, velo_node_id node, int is)
{
    const uint32_t flags = velo_node_at(region, node)->flags;
    const uint32_t wanted = is ? flags | VELO_NODE_MOUNT : flags & ~(uint32_t)VELO_NODE_MOUNT;
    if (flags == wanted)
        return;
    velo_set32(region, &velo_node_at(region, node)->flags, wanted);
    if (is)
        velo_escape(region, VELO_ESCAPE_MOUNT);
}

/* A name that was never seen without its mount: neither its identity nor the names below are known. */
static int enter_locked(struct velo_pass *pass, velo_node_id parent, const char *text,
                        const struct stat *disk)
{
    struct velo_region *region = pass->region;
    const enum velo_type type = S_ISDIR(disk->st_mode) ? VELO_DIRECTORY : VELO_OTHER;
    const velo_node_id node = velo_node_new_locked(region, type);
    if (!velo_is_node(node))
        return -ENOSPC;
    velo_take_stat_locked(region, node, disk);
    mark_locked(region, node, 1);
    const velo_name_id name = velo_name_enter_locked(region, parent, text, strlen(text), node);
    if (!velo_is_name(name))
        return -ENOSPC;
    velo_name_disk_locked(region, name, 0, disk);
    VELO_INIT(velo_name_at(region, name)->mark, pass->mark);
    return 1;
}

static int compare_mount_locked(struct velo_pass *pass, int dirfd, velo_node_id parent,
                                const char *text)
{
    struct velo_region *region = pass->region;
    struct stat disk;
    const int is =
        snapshot(dirfd, text, velo_node_at(region, parent)->identity[VELO_ID_DISK].device, &disk);
    const velo_name_id name = velo_name_find(region, parent, text, strlen(text));
    if (is < 0)
        return 0;
    if (!velo_is_name(name))
        return is ? enter_locked(pass, parent, text, &disk) : 0;
    mark_locked(region, velo_name_at(region, name)->node, is);
    if (is)
        VELO_INIT(velo_name_at(region, name)->mark, pass->mark);
    return is;
}

static int is_marked(const struct velo_region *region, velo_node_id parent, const char *text)
{
    const velo_name_id name = velo_name_find(region, parent, text, strlen(text));
    const velo_node_id node =
        velo_is_name(name) ? VELO_READ_ID(velo_name_at(region, name)->node) : VELO_NO_NODE;
    return velo_is_node(node) &&
           (VELO_READ(velo_node_at(region, node)->flags) & VELO_NODE_MOUNT) != 0;
}

int velo_mounted_name(struct velo_pass *pass, int dirfd, velo_node_id parent, const char *text)
{
    struct velo_region *region = pass->region;
    struct stat disk;
    const size_t length = strlen(text);
    if (!velo_has_mounts(region) || length > VELO_NAME_MAX)
        return 0;
    const uint64_t device = VELO_READ(velo_node_at(region, parent)->identity[VELO_ID_DISK].device);
    const int is = snapshot(dirfd, text, device, &disk);
    if (is <= 0 && !is_marked(region, parent, text))
        return 0;
    struct velo_hold hold;
    velo_begin(region, &hold);
    return velo_finish(region, &hold, compare_mount_locked(pass, dirfd, parent, text));
}

int velo_is_read_only(const char *path)
{
    struct statfs disk;
    return velo_sys2(SYS_statfs, velo_word(path), velo_word(&disk)) == 0 &&
           (disk.f_flags & ST_RDONLY) != 0;
}

/* A mount that is at a hosted directory when that is taken in is the directory. A mount that comes later,
 * or another one that is found there, is not. */
int velo_mounted_root(struct velo_region *region, const struct velo_root *root)
{
    struct stat disk;
    const struct velo_identity *known = &velo_node_at(region, root->node)->identity[VELO_ID_DISK];
    int is = snapshot(AT_FDCWD, root->path, 0, &disk);
    if (is < 0)
        return 0;
    is = (is && (disk.st_dev != known->device || disk.st_ino != known->inode)) ||
         velo_is_read_only(root->path);
    struct velo_hold hold;
    velo_begin(region, &hold);
    mark_locked(region, root->node, is);
    velo_commit(region, &hold);
    return is;
}

int velo_is_covered(const struct velo_region *region, velo_node_id directory)
{
    for (uint32_t depth = 0; velo_is_node(directory) && depth < VELO_DEPTH_MAX; depth++) {
        const struct velo_node *node = velo_node_at(region, directory);
        if ((VELO_READ(node->flags) & (VELO_NODE_MOUNT | VELO_NODE_RETIRED)) != 0)
            return 1;
        directory = VELO_READ_ID(node->parent);
    }
    return 0;
}
