/* poison.c - putting poison where the disk's copy of a hosted file is missing or old.  See poison.h.
 *
 * The record of a name changes without the undo log, as velo_names_record_locked does: the disk has
 * its half whatever becomes of us, and a file may have more names than the log has room.  Before the
 * disk changes the record says "no known version", so recovery after a kill keeps what is in memory. */
#include "poison.h"

#include <errno.h>

#include "disk_names.h"
#include "core/arena/lock.h"
#include "kernel/os.h"
#include "pass.h"
#include "core/tree/tree.h"
#include "core/presence/watch.h"
#include "core/tree/path.h"

static int poison_at(const struct velo_name *name, const char *path)
{
    struct stat disk;
    const int there = velo_os_lstat(path, &disk);
    if (there == 0 && disk.st_ino != name->disk_inode)
        return -EEXIST; /* an outsider's: reconcile tells of it */
    if (there == 0 && velo_os_unlink(path) != 0)
        return -EACCES;
    return velo_os_mknod(path, S_IFSOCK, 0);
}

static void record(struct velo_region *region, velo_name_id index, const char *path)
{
    struct velo_name *name = velo_name_at(region, index);
    struct stat disk;
    if (velo_os_lstat(path, &disk) != 0)
        return;
    VELO_INIT(name->disk_inode, disk.st_ino);
    VELO_INIT(name->disk_size, (uint64_t)disk.st_size);
    VELO_INIT(name->disk_mtime_ns, velo_ns(&disk.st_mtim));
    VELO_INIT(name->disk_ctime_ns, velo_ns(&disk.st_ctim));
    VELO_INIT(name->flags, (uint8_t)(VELO_NAME_ON_DISK | VELO_NAME_POISON));
}

static void poison_name_locked(struct velo_region *region, velo_name_id index)
{
    struct velo_name *name = velo_name_at(region, index);
    char path[PATH_MAX], text[VELO_NAME_MAX + 1];
    if ((name->flags & VELO_NAME_POISON) != 0 || velo_busy_writeback(region, name))
        return;
    const size_t length = velo_name_text(region, name, text);
    if (velo_name_path(region, name->parent, text, length, path) < 0)
        return;
    const uint64_t replaced = name->disk_inode;
    VELO_INIT(name->disk_version, 0);
    velo_disk_step_locked(region, name->parent, VELO_NO_NODE);
    if (poison_at(name, path) != 0)
        return;
    record(region, index, path);
    if (replaced != 0)
        velo_copy_lost_locked(region, name->parent, replaced);
}

void velo_poison_set_locked(struct velo_region *region, velo_node_id node)
{
    const struct velo_node *file = velo_node_at(region, node);
    if (region->header->poison == 0 || file->type != VELO_REGULAR || file->state != VELO_BACKED)
        return;
    uint32_t steps = 0;
    for (velo_name_id index = file->first_name; velo_is_name(index);
         index = velo_next_of_node(region, index, &steps))
        poison_name_locked(region, index);
}
