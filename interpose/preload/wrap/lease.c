/* lease.c - fcntl, for the sake of few commands: F_SETLEASE on a hosted file; seals, which tmpfs has and a disk
 * has not; F_NOTIFY, the older way to watch a directory (wrap/notify.c).
 *
 * The kernel grants a lease only while no other process has the file open, and tells the program that has
 * the lease of each open. Shards open files to look after them. So before a program asks, they are told to
 * leave this file alone, and a shard that is just looking has a moment to go. */
#include <fcntl.h>
#include <stdarg.h>

#include "kernel/os.h"
#include "io.h"
#include "preload/path/claim.h"
#include "preload/write/credit.h"
#include "preload/write/locks.h"
#include "preload/base/raw.h"
#include "lock.h"

#define PATIENCE_MS 5

static velo_node_id hosted_node(int fd)
{
    struct velo_region *region = velo_here();
    return region == NULL ? VELO_NO_NODE : velo_node_of_fd(region, fd);
}

static long set_lease(int fd, long kind)
{
    const velo_node_id node = kind == F_UNLCK ? VELO_NO_NODE : hosted_node(fd);
    if (velo_is_node(node))
        velo_lease_mark(velo_here(), node);
    long rc = velo_sys3(SYS_fcntl, fd, F_SETLEASE, kind);
    for (int waited_ms = 0; velo_is_node(node) && rc == -EAGAIN && waited_ms < PATIENCE_MS;
         waited_ms++) {
        velo_os_pause(1000000);
        rc = velo_sys3(SYS_fcntl, fd, F_SETLEASE, kind);
    }
    return rc;
}

/* Also the question which process has a lock: programs outside may have one. */
static bool locks(int command)
{
    switch (command) {
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
        return true;
    default:
        return false;
    }
}

/* Whatever the command takes comes as one word; fcntl64 is what both names are in libc. */
EXPORT int fcntl(int fd, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    const long argument = va_arg(arguments, long);
    va_end(arguments);
    if ((command == F_GET_SEALS || command == F_ADD_SEALS) && velo_is_node(hosted_node(fd)))
        return (int)velo_answer(-EINVAL);
    if (command == F_NOTIFY && argument != 0 && velo_is_node(hosted_node(fd)))
        velo_watch(velo_here(), hosted_node(fd));
    if (locks(command))
        velo_before_lock(fd);
    if (command == F_SETLEASE)
        return (int)velo_answer(set_lease(fd, argument));
    const int rc = NEXT(fcntl64)(fd, command, argument);
    if (command == F_DUPFD || command == F_DUPFD_CLOEXEC)
        velo_inherits_credit(fd, rc);
    return rc;
}
ALIAS(fcntl64, fcntl);
ALIAS(__fcntl, fcntl);
