/* missing.c - is the file in memory there that a node should have?  See missing.h.
 *
 * Velo removes no file in memory while its node is BACKED: the node leaves that state first, under the lock.
 * So BACKED without a file, seen under the lock, is an outsider's doing. So is a file that got shorter while its
 * version is still the one whose size is recorded: an open for writing raises the version (file.c). The size of a
 * version is not known until the file was looked at while no process wrote it; until then its bytes are believed. */
#include "missing.h"

#include <errno.h>
#include <fcntl.h>

#include "kernel/lease.h"
#include "kernel/os.h"
#include "core/arena/layout.h"
#include "core/tree/path.h"
#include "core/tree/tree.h"

int velo_is_cut_locked(const struct velo_node *node, const struct stat *stat)
{
    return node->refreshed == node->version && (uint64_t)stat->st_size < node->size;
}

/* An open for writing raises the version, but after the file is open. */
static int nobody_writes(const char *path)
{
    const int fd = velo_os_open(path, O_RDONLY | O_NONBLOCK | O_NOATIME | O_CLOEXEC, 0);
    const int nobody = fd >= 0 && velo_nobody_writes(fd);
    if (fd >= 0)
        velo_os_close(fd);
    return nobody;
}

int velo_is_missing_locked(const struct velo_region *region, const struct velo_node *node)
{
    char path[320];
    struct stat stat;
    if (node->type != VELO_REGULAR || node->state != VELO_BACKED || node->links == 0)
        return 0;
    velo_backing_path(region, node->backing, path);
    const int rc = velo_os_lstat(path, &stat);
    if (rc != 0)
        return rc == -ENOENT || rc == -ENOTDIR;
    if (!S_ISREG(stat.st_mode) || stat.st_ino != node->identity[VELO_ID_ARENA].inode)
        return 1;
    return velo_is_cut_locked(node, &stat) && nobody_writes(path);
}

int velo_is_cut(struct velo_region *region, velo_node_id index, int fd)
{
    struct velo_hold hold;
    struct stat stat;
    velo_begin(region, &hold);
    const int cut =
        velo_os_fstat(fd, &stat) == 0 && velo_is_cut_locked(velo_node_at(region, index), &stat);
    velo_commit(region, &hold);
    return cut && velo_nobody_writes(fd);
}

int velo_is_missing(struct velo_region *region, velo_node_id index)
{
    struct velo_hold hold;
    velo_begin(region, &hold);
    const int missing = velo_is_missing_locked(region, velo_node_at(region, index));
    velo_commit(region, &hold);
    return missing;
}

void velo_missing_ask(struct velo_region *region, velo_node_id index)
{
    if (region->ask != NULL && velo_is_missing(region, index))
        region->ask(region, VELO_ASK_WRITEBACK, VELO_READ(velo_node_at(region, index)->home),
                    index.slot);
}
