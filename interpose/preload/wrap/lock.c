/* lock.c - flock and lockf; fcntl's locks come from wrap/lease.c.
 *
 * A lock belongs to a file, and the file in memory is not the disk's: a program outside that locks the same
 * path would get it, too (cargo beside cargo, a database). So a file goes to the disk before it is locked,
 * and stays there. If other processes have it open in memory, it cannot go: then the lock holds only among
 * programs inside, and is counted as an escape. A file that was unlinked has no path, and stays. */
#include <sys/file.h>
#include <unistd.h>

#include "preload/path/claim.h"
#include "preload/write/credit.h"
#include "preload/write/locks.h"
#include "preload/base/raw.h"
#include "preload/write/relocate.h"
#include "lock.h"

#define TRIED_MAX 64u

/* Files that could not be led there, so that each lock of a database does not try again. A wrong guess
 * costs a lock that programs outside do not see. */
static _Atomic uint64_t tried[TRIED_MAX];

_Atomic uint8_t velo_plain_locks[VELO_WRITE_CREDITS_MAX];

static void relocate_or_count(struct velo_region *region, int fd, velo_node_id node,
                              uint32_t generation)
{
    const uint64_t file = (uint64_t)generation << 32 | node.slot;
    if (atomic_load(&tried[node.slot % TRIED_MAX]) == file)
        return;
    if (velo_relocate_soon(fd, node) == 0) {
        velo_lock_mark(region, node);
        return;
    }
    velo_escape(region, VELO_ESCAPE_PEER);
    if (velo_vfork_child)
        return;
    atomic_store(&tried[node.slot % TRIED_MAX], file);
    velo_lock_keep(region, node);
}

/* The kernel refuses to lock it, so the file stays where it is. */
static bool is_path_only(int fd)
{
    return (velo_sys3(SYS_fcntl, fd, F_GETFL, 0) & O_PATH) != 0;
}

void velo_before_lock(int fd)
{
    struct velo_snapshot snapshot;
    struct velo_region *region = velo_lock_is_plain(fd) ? NULL : velo_here();
    if (region == NULL)
        return;
    const velo_node_id node = velo_node_of_fd(region, fd);
    velo_lock_set_plain(fd, 1);
    if (!velo_is_node(node) || velo_is_locked(region, node) || is_path_only(fd) ||
        velo_snapshot_take(region, node, &snapshot) != 0)
        return;
    const int saved = errno;
    if (snapshot.state != VELO_BACKED)
        velo_lock_mark(region, node);
    else if (!velo_is_unlinked(region, node))
        relocate_or_count(region, fd, node, snapshot.generation);
    errno = saved;
}

EXPORT int flock(int fd, int operation)
{
    if ((operation & LOCK_UN) == 0)
        velo_before_lock(fd);
    return NEXT(flock)(fd, operation);
}

EXPORT int lockf(int fd, int command, off_t length)
{
    if (command != F_ULOCK)
        velo_before_lock(fd);
    return NEXT(lockf)(fd, command, length);
}
ALIAS(lockf64, lockf);
