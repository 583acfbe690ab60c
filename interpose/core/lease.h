/* lease.h - asking the kernel who has a tmpfs file open.
 *
 * F_SETLEASE is refused while a writer (for F_RDLCK), or while anybody else (for F_WRLCK) has the
 * file open; shared writable mappings count as writers.  The lease is given back at once: whoever
 * opened in between waited for microseconds.  The signal of a broken lease is SIGURG, which does
 * nothing by default: the holder may be somebody else's compiler. */
#ifndef VELO_CORE_LEASE_H
#define VELO_CORE_LEASE_H

#include <fcntl.h>
#include <signal.h>

#include "os.h"

static inline int velo_lease_granted(int fd, int kind)
{
    velo_sys3(SYS_fcntl, fd, F_SETSIG, SIGURG);
    if (velo_sys3(SYS_fcntl, fd, F_SETLEASE, kind) != 0)
        return 0;
    velo_sys3(SYS_fcntl, fd, F_SETLEASE, F_UNLCK);
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
