/* tmpfile.c - files that begin without a name (O_TMPFILE) and may be given one by a link.
 *
 * Such a file is a node that no directory counts, as an unlinked one is.  A shard frees it when no
 * process has it open any more.  Only VELO_NODE_LINKABLE tells them apart: an unlinked file stays
 * without a name for good. */
#include "core/arena/layout.h"
#include "core/tree/outcome.h"
#include "core/tree/snapshot.h"

#include <errno.h>
#include <fcntl.h>

#include "core/disk/disk_names.h"
#include "kernel/os.h"
#include "core/disk/poison.h"
#include "core/disk/residency.h"
#include "core/tree/stamps.h"
#include "core/tree/tree.h"
#include "core/tree/path.h"
#include "core/calls/create.h"
#include "core/calls/tmpfile.h"

/* The kernel's name for such a file, "#<inode>": a program that asks where a descriptor leads sees it. */
static size_t label(uint64_t inode, char out[24])
{
    char digits[20];
    size_t count = 0, length = 0;
    for (; count == 0 || inode > 0; inode /= 10)
        digits[count++] = (char)('0' + inode % 10);
    out[length++] = '#';
    while (count > 0)
        out[length++] = digits[--count];
    return length;
}

velo_node_id velo_tmpfile_node_locked(struct velo_region *region, const struct velo_place *place,
                                      uint64_t backing, const struct stat *stat, int linkable)
{
    const velo_node_id index = velo_node_new_locked(region, VELO_REGULAR);
    if (!velo_is_node(index))
        return VELO_NO_NODE;
    struct velo_node *node = velo_node_at(region, index);
    VELO_INIT(node->home,
              (uint16_t)velo_home_of(region, place->text.path, place->text.path_length));
    VELO_INIT(node->backing, backing);
    VELO_INIT(node->version, 1);
    VELO_INIT(node->btime_ns, velo_ns(&stat->st_mtim));
    VELO_INIT(node->flags, linkable ? VELO_NODE_LINKABLE : 0);
    velo_take_stat_locked(region, index, stat);
    velo_state_set_locked(region, index, VELO_BACKED);
    velo_identity_set_locked(region, index, VELO_ID_ARENA, stat->st_dev, stat->st_ino);
    return index;
}

static int enter_locked(struct velo_region *region, const struct velo_place *place,
                        uint64_t backing, const struct stat *stat, int linkable)
{
    const struct velo_node *directory = velo_node_at(region, place->at.node);
    if (directory->generation != place->at.generation || directory->type != VELO_DIRECTORY ||
        directory->links == 0)
        return -ENOENT;
    const velo_node_id index = velo_tmpfile_node_locked(region, place, backing, stat, linkable);
    if (!velo_is_node(index))
        return -ENOSPC;
    char text[24];
    const size_t length = label(velo_inode_number(velo_node_at(region, index), index), text);
    return velo_last_name_locked(region, index, place->at.node, text, length);
}

int velo_open_tmpfile(struct velo_region *region, struct velo_place *place, int flags, mode_t mode)
{
    if ((flags & O_ACCMODE) == O_RDONLY || (flags & O_CREAT) != 0)
        return -EINVAL;
    const struct velo_node *directory = velo_node_at(region, place->at.node);
    int rc = velo_may(region, directory, 3);
    if (rc != 0)
        return rc;
    if (velo_residency_of_new(region, place, place->at.node, flags) != VELO_IN_MEMORY)
        return velo_os_open(place->text.path, flags, mode); /* the disk's own */
    const uint64_t backing = velo_backing_new(region);
    char path[320];
    struct stat stat;
    velo_backing_path(region, backing, path);
    const int fd = velo_os_open(
        path, (flags & ~(O_TMPFILE | O_EXCL | O_NOFOLLOW | O_TRUNC)) | O_CREAT | O_EXCL, mode);
    if (fd == -ENOSPC)
        return velo_os_open(place->text.path, flags, mode);
    if (fd < 0)
        return fd;
    rc = velo_os_fstat(fd, &stat);
    if (rc == 0)
        rc = velo_inherit_group(directory, fd, &stat);
    if (rc == -EPERM) {
        velo_os_close(fd);
        velo_os_unlink(path);
        return velo_os_open(place->text.path, flags, mode);
    }
    struct velo_hold hold;
    velo_begin(region, &hold);
    if (rc == 0)
        rc = enter_locked(region, place, backing, &stat, (flags & O_EXCL) == 0);
    rc = velo_finish(region, &hold, rc);
    if (rc == 0)
        return fd;
    velo_os_close(fd);
    velo_os_unlink(path);
    return rc;
}

int velo_link_tmpfile_locked(struct velo_region *region, velo_node_id index, uint32_t generation,
                             const struct velo_place *to)
{
    struct velo_node *node = velo_node_at(region, index);
    if (node->generation != generation || node->type != VELO_REGULAR || node->links != 0 ||
        (node->flags & VELO_NODE_LINKABLE) == 0 || velo_parent_is_gone(region, to))
        return -ENOENT;
    if (velo_is_name(velo_name_there(region, to)))
        return -EEXIST;
    uint32_t flags = node->flags & ~(uint32_t)VELO_NODE_LINKABLE;
    if (velo_is_program_like(to->text.name, to->text.name_length, node->mode))
        flags |= VELO_NODE_PROGRAM;
    velo_set32(region, &node->flags, flags);
    if (!velo_is_name(velo_name_enter_locked(region, to->at.parent, to->text.name,
                                             to->text.name_length, index)))
        return -ENOSPC;
    velo_last_name_forget_locked(region,
                                 index); /* slots are taken before any is given back (pool.c) */
    velo_dirty_locked(region, index);
    velo_program_locked(region, index);
    velo_touch_locked(region, to->at.parent);
    velo_poison_set_locked(region, index);
    return 0;
}

int velo_link_tmpfile(struct velo_region *region, velo_node_id node, struct velo_place *to)
{
    if (to->at.kind == VELO_OUTSIDE)
        return -EXDEV;
    if (to->at.type != VELO_NONE || to->asked.through_link)
        return -EEXIST;
    if (to->asked.must_be_directory)
        return -ENOENT;
    const uint32_t generation = VELO_READ(velo_node_at(region, node)->generation);
    int rc = velo_may_change(region, to);
    if (rc != 0)
        return rc;
    struct velo_hold hold;
    velo_begin(region, &hold);
    rc = velo_link_tmpfile_locked(region, node, generation, to);
    if (rc == 0)
        velo_renamed_locked(region, node);
    return velo_finish(region, &hold, rc);
}
