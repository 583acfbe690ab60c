/* truncate.c - the length of a file that is named by its path. */
#include <errno.h>
#include <fcntl.h>

#include "core/arena/layout.h"
#include "core/tree/outcome.h"
#include "core/tree/snapshot.h"
#include "kernel/os.h"
#include "core/tree/tree.h"
#include "core/presence/watch.h"

/* Another process may have looked at the file between the announcement and the change. */
static void has_changed(struct velo_region *region, const struct velo_place *place)
{
    struct velo_hold hold;
    velo_begin(region, &hold);
    const struct velo_node *node = velo_node_at(region, place->at.node);
    if (node->generation == place->at.generation && node->type == VELO_REGULAR &&
        node->state == VELO_BACKED)
        velo_dirty_locked(region, place->at.node);
    velo_commit(region, &hold);
}

/* By path: a watcher would hear of a descriptor, or there is none. */
__attribute__((noinline)) static int truncate_by_path(struct velo_region *region,
                                                      struct velo_place *place, off_t length)
{
    char path[PATH_MAX];
    int rc = velo_kernel_path(region, place, 1, path);
    if (rc == 0)
        rc = (int)velo_sys2(SYS_truncate, velo_word(path), length);
    if (rc == 0)
        has_changed(region, place);
    return rc;
}

/* There is no room for it: at its real path. Where others would notice it stays, and what is longer is a
 * hole, which takes nothing. */
static void elsewhere(struct velo_region *region, velo_node_id node, int *fd)
{
    const int disk = velo_relocate(region, node, *fd);
    if (disk < 0)
        return;
    velo_os_close(*fd);
    *fd = disk;
}

int velo_truncate(struct velo_region *region, struct velo_place *place, off_t length)
{
    if (length < 0)
        return -EINVAL;
    if (place->at.kind == VELO_HOSTED && place->at.type == VELO_DIRECTORY)
        return -EISDIR;
    if (place->at.kind == VELO_HOSTED && place->at.type == VELO_OTHER) /* opening one may wait */
        return (int)velo_sys2(SYS_truncate, velo_word(place->text.path), length);
    if (place->at.kind == VELO_HOSTED && place->at.type == VELO_REGULAR &&
        (velo_belongs_on_disk(region, place->at.node) || velo_is_locked(region, place->at.node) ||
         velo_keeps_lock(region, place->at.node)))
        return truncate_by_path(region, place, length);
    int fd = velo_open(region, place, O_WRONLY | O_CLOEXEC | O_NONBLOCK, 0);
    if (fd == -EMFILE || fd == -ENFILE ||
        fd == -EAGAIN) /* a path needs none, and waits for a program's lease */
        return truncate_by_path(region, place, length);
    if (fd < 0)
        return fd;
    if (velo_charge(region, place->at.node, (uint64_t)length) != 0)
        elsewhere(region, place->at.node, &fd);
    const int rc = velo_os_ftruncate(fd, length);
    velo_os_close(fd);
    return rc;
}
