/* visitors.h - a process outside lists or empties a directory at this moment: a flush keeps out of it.
 *
 * `rm -rf` reads a directory, removes what it read, and then the directory: a file that is put in
 * between makes that fail.  So a shard has the kernel tell when a directory with a tether is opened,
 * or loses names, and a flush waits before it gives a file its name; not for ever. */
#ifndef VELO_CORE_DISK_VISITORS_H
#define VELO_CORE_DISK_VISITORS_H

#include <stdint.h>

#define VELO_VISITS_MAX 64u

/* What one shard sees of them. All zero: nothing is watched. Written by its flush alone, which is one at
 * a time, but for `inotify`. */
struct velo_visitors {
    _Atomic int inotify; /* descriptor + 1 */
    uint32_t visit_count;
    int32_t visits[VELO_VISITS_MAX]; /* watches of directories that are open, one for each time */
    int64_t visit_ns, removal_ns; /* the last time that one was opened, that a name went */
    int64_t waited_ns; /* in this flush */
};

/* Watch the directory that the descriptor `fd` is of: a number by which to end that, or 0. */
int velo_visitors_watch(struct velo_visitors *visitors, int fd);
void velo_visitors_unwatch(struct velo_visitors *visitors, int watch);
/* A flush begins; is about to put a file: returns when no visitor is seen, or after waiting long enough; and
 * is about to give the file its name, which takes less time than to read a directory that was just opened. */
void velo_visitors_flush_begins(struct velo_visitors *visitors);
void velo_visitors_wait(struct velo_visitors *visitors);
int velo_visitors_are_seen(struct velo_visitors *visitors);

#endif
