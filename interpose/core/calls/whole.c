/* whole.c - regular files that appear whole: written while they have no name, they get mode, time and name in one step.
 *
 * In    a place where nothing is, and how many bytes will come
 * Out   a descriptor for them, then the file; a process that is killed in between leaves no file
 * Why   replay puts back thousands: by open, write, fchmod, utimensat and close it takes four times the system calls */
#include "core/arena/layout.h"
#include "core/tree/outcome.h"
#include "core/tree/snapshot.h"

#include <errno.h>
#include <fcntl.h>

#include "core/calls/create.h"
#include "core/calls/tmpfile.h"
#include "core/disk/residency.h"
#include "core/disk/retire.h"
#include "core/disk/space.h"
#include "core/tree/path.h"
#include "core/tree/stamps.h"
#include "core/tree/tree.h"
#include "kernel/os.h"

/* `limit`: of all charges, asked before: the kernel is not asked under the lock. */
static int enter_locked(struct velo_region *region, const struct velo_place *place,
                        uint64_t backing, uint64_t bytes, uint64_t limit, struct velo_whole *whole)
{
    if (velo_parent_is_gone(region, place))
        return -ENOENT;
    whole->node = velo_tmpfile_node_locked(region, place, backing, &whole->stat, 1);
    if (!velo_is_node(whole->node) || velo_charge_locked(region, whole->node, bytes, limit) != 0)
        return -EXDEV;
    whole->generation = velo_node_at(region, whole->node)->generation;
    return 0;
}

static void forget(int fd, const char *backing)
{
    velo_os_close(fd);
    velo_os_unlink(backing);
}

int velo_whole_begin(struct velo_region *region, const struct velo_place *place, mode_t mode,
                     uint64_t bytes, struct velo_whole *whole)
{
    if (place->at.kind == VELO_OUTSIDE || place->at.type != VELO_NONE ||
        !velo_is_node(place->at.parent) || place->asked.through_link ||
        place->asked.must_be_directory || place->asked.too_long)
        return -EXDEV;
    const struct velo_node *directory = velo_node_at(region, place->at.parent);
    int rc = velo_may_change(region, place);
    if (rc != 0)
        return rc;
    if (velo_names_are_scarce(region) ||
        velo_residency_of_new(region, place, place->at.parent, O_WRONLY) != VELO_IN_MEMORY)
        return -EXDEV;
    char path[320];
    const uint64_t backing = velo_backing_new(region);
    velo_backing_path(region, backing, path);
    whole->fd = velo_os_open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (whole->fd < 0)
        return -EXDEV;
    rc = velo_os_fstat(whole->fd, &whole->stat);
    if (rc == 0)
        rc = velo_inherit_group(directory, whole->fd, &whole->stat) == 0 ? 0 : -EXDEV;
    if (rc == 0) {
        const uint64_t limit = velo_limit_bytes(region);
        struct velo_hold hold;
        velo_begin(region, &hold);
        rc = velo_finish(region, &hold, enter_locked(region, place, backing, bytes, limit, whole));
    }
    if (rc != 0)
        forget(whole->fd, path);
    return rc;
}

/* The kernel stamps its ctime, and a program cannot have seen an older one: it has no name yet. */
static int dress(struct velo_whole *whole, mode_t mode, int64_t mtime_ns)
{
    const struct timespec times[2] = {velo_timespec(mtime_ns), velo_timespec(mtime_ns)};
    int rc = 0;
    if ((whole->stat.st_mode & 07777) != mode)
        rc = velo_os_fchmod(whole->fd, mode);
    if (rc == 0)
        rc = velo_os_utimensat(whole->fd, NULL, times, 0);
    return rc == 0 ? velo_os_fstat(whole->fd, &whole->stat) : rc;
}

static int name_locked(struct velo_region *region, const struct velo_place *place,
                       struct velo_whole *whole)
{
    struct velo_node *node = velo_node_at(region, whole->node);
    velo_set32(region, &node->mode,
               whole->stat.st_mode); /* whether it is a program depends on it */
    const int rc = velo_link_tmpfile_locked(region, whole->node, whole->generation, place);
    if (rc == 0)
        velo_set_time(region, &node->ctime_ns, velo_ns(&whole->stat.st_ctim));
    whole->version = node->version;
    return rc;
}

int velo_whole_end(struct velo_region *region, const struct velo_place *place,
                   struct velo_whole *whole, mode_t mode, int64_t mtime_ns)
{
    int rc = dress(whole, mode, mtime_ns);
    if (rc == 0) {
        struct velo_hold hold;
        velo_begin(region, &hold);
        rc = velo_finish(region, &hold, name_locked(region, place, whole));
    }
    velo_os_close(whole->fd);
    return rc;
}

void velo_whole_abandon(struct velo_whole *whole)
{
    velo_os_close(whole->fd); /* a shard frees what has no name and is open nowhere */
}
