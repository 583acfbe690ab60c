/* lease.h - asking the kernel whether a file is open elsewhere, and keeping others out for a moment.
 *
 * F_SETLEASE is refused while a writer (for F_RDLCK), or while any other process (for F_WRLCK) has the
 * file open; mappings count as what they were made from.  A process that opens while the lease is held
 * waits in the kernel until it is given back, which is microseconds later.  The signal of a broken lease
 * is SIGURG, which does nothing by default: the process that holds the lease may be a user's compiler.
 * Refused, too: where the file system has no leases, and for a file of another user (not root). */
#ifndef VELO_CORE_LEASE_H
#define VELO_CORE_LEASE_H

#include <fcntl.h>
#include <signal.h>

#include "os.h"

/* 1 when granted: until velo_lease_leave, no other process opens the file. */
static inline int velo_lease_take(int fd, int kind)
{
    velo_sys3(SYS_fcntl, fd, F_SETSIG, SIGURG);
    return velo_sys3(SYS_fcntl, fd, F_SETLEASE, kind) == 0;
}
static inline void velo_lease_leave(int fd)
{
    velo_sys3(SYS_fcntl, fd, F_SETLEASE, F_UNLCK);
}
static inline int velo_lease_granted(int fd, int kind)
{
    if (!velo_lease_take(fd, kind))
        return 0;
    velo_lease_leave(fd);
    return 1;
}
/* `fd` is open for reading. */
static inline int velo_nobody_writes(int fd)
{
    return velo_lease_granted(fd, F_RDLCK);
}
static inline int velo_nobody_else_has(int fd)
{
    return velo_lease_granted(fd, F_WRLCK);
}

#endif
