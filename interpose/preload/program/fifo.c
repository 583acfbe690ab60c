/* fifo.c - a FIFO was opened: does a process outside have its other end?
 *
 * In    a descriptor that may be a FIFO's
 * Out   the tree on disk before a word goes through it, a slot that lives as long as the descriptor and
 *       some seconds longer
 * Never a look for make's jobserver, which every compiler of a build may open
 *
 * A FIFO does not name the process at its other end, so all of /proc is looked through: milliseconds, each time
 * one is opened. A process that waited in its open for ours may not have the descriptor yet, so there are several
 * looks. A process that none of them finds is taken for outside. A FIFO that was opened without waiting, before any
 * other process, has no other end yet. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "kernel/os.h"
#include "preload/base/raw.h"
#include "preload/program/environment.h"
#include "preload/program/peers.h"
#include "fifo.h"

#define ATTEMPTS_MAX 6
#define PAUSE_NS 1000000l

/* "/tmp/GMfifo77", or what MAKEFLAGS says: "... --jobserver-auth=fifo:/tmp/GMfifo77 ..." */
static bool is_jobserver(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (strncmp(slash == NULL ? path : slash + 1, "GMfifo", 6) == 0)
        return true;
    const char *flags = velo_environment_get(environ, "MAKEFLAGS");
    const char *at = flags == NULL ? NULL : strstr(flags, "=fifo:");
    const size_t length = strlen(path);
    return at != NULL && strncmp(at + 6, path, length) == 0 &&
           (at[6 + length] == 0 || at[6 + length] == ' ');
}

void velo_fifo_made(const char *path)
{
    struct velo_region *region = velo_here();
    if (region != NULL && !is_jobserver(path))
        velo_fifos_heed(region);
}

/* The process outside that has the other end (0: unknown). False: none outside has it. */
static bool find_stranger(struct velo_region *region, int fd, uint32_t *pid)
{
    const long flags = velo_sys3(SYS_fcntl, fd, F_GETFL, 0);
    const bool waited = (flags & O_NONBLOCK) == 0 && (flags & O_ACCMODE) != O_RDWR;
    for (int attempts = 0; attempts < ATTEMPTS_MAX; attempts++) {
        int kin = 0;
        *pid = velo_peer_at_fifo(region, fd, &kin);
        if (*pid != 0 || kin != 0 || !waited)
            return *pid != 0;
        velo_os_pause(PAUSE_NS);
    }
    return true;
}

static void probe_fifo(struct velo_region *region, int fd, const struct stat *stat)
{
    uint32_t pid = 0;
    velo_fifos_heed(region);
    if (!find_stranger(region, fd, &pid))
        return;
    const int slot = velo_peer_begin(region, fd, stat->st_ino | VELO_PEER_FIFO);
    velo_peer_known(region, slot, pid, "a FIFO", 0);
}

void velo_fifo_opened(int fd, const char *path)
{
    struct velo_region *region = velo_here();
    struct stat stat;
    if (region == NULL || fd < 0 || raw_fstat(fd, &stat) != 0 || !S_ISFIFO(stat.st_mode) ||
        is_jobserver(path))
        return;
    const int saved = errno;
    probe_fifo(region, fd, &stat);
    errno = saved;
}

/* No FIFOs stand in these directories, so files there are not checked. */
static bool is_of_the_system(const char *path)
{
    return strncmp(path, "/usr/", 5) == 0 || strncmp(path, "/lib", 4) == 0 ||
           strncmp(path, "/etc/", 5) == 0 || strncmp(path, "/proc/", 6) == 0 ||
           strncmp(path, "/sys/", 5) == 0 || strcmp(path, "/dev/null") == 0 ||
           strcmp(path, "/dev/tty") == 0;
}

static bool ends_in(const char *name, const char *end)
{
    const size_t length = strlen(name), bytes = strlen(end);
    return length >= bytes && memcmp(name + length - bytes, end, bytes) == 0;
}

/* People call FIFOs "ask", "ctl/in" or "x.fifo"; sources and headers have a dot. */
static bool may_be_called_so(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;
    return strchr(name, '.') == NULL || ends_in(name, "fifo") || ends_in(name, "pipe");
}

/* One more system call for each header would be much. So until a process inside has met a FIFO, two kinds of
 * opens are checked: those to write, and those to read a name that a FIFO may have. */
void velo_maybe_fifo_opened(int fd, const char *path, int flags)
{
    if (fd < 0 || velo_here() == NULL || (flags & (O_PATH | O_DIRECTORY)) != 0 ||
        is_of_the_system(path) ||
        ((flags & O_ACCMODE) == O_RDONLY && !velo_fifos_heeded(&velo_the_region) &&
         !may_be_called_so(path)))
        return;
    velo_fifo_opened(fd, path);
}
