/* visitors.h - a process outside lists or empties a directory at this moment: a flush keeps out of it.
 *
 * `rm -rf` reads a directory, removes what it read, and then the directory: a file that is put in
 * between makes that fail.  So a shard has the kernel tell when a directory with a tether is opened or
 * read, or loses names.  A flush then waits before it gives a file its name; not for ever. */
#ifndef VELO_CORE_DISK_VISITORS_H
#define VELO_CORE_DISK_VISITORS_H

#include <stdint.h>

#define VELO_VISITS_MAX 64u

/* What one shard sees of visitors. All zero: nothing is watched. Written by the shard's flush alone, which is
 * one at a time, but for `inotify`. */
struct velo_visitors {
    _Atomic int inotify; /* descriptor + 1 */
    uint32_t visit_count;
    int32_t visits[VELO_VISITS_MAX]; /* watches of directories that are open, one for each time */
    int64_t visit_ns, removal_ns; /* the last time that one was opened, that a name went */
    int64_t waited_ns; /* in this flush */
    /* The name that a file is being given: where (0: none), which, and what was heard of it so far. */
    int32_t naming;
    const char *name;
    int is_named, is_missed;
};

/* Watch the directory that the descriptor `fd` is of: a number by which to end that, or 0. */
int velo_visitors_watch(struct velo_visitors *visitors, int fd);
void velo_visitors_unwatch(struct velo_visitors *visitors, int watch);
/* Four moments of a flush. It begins. It is about to put a file: `wait` returns when no visitor is seen, or
 * after long enough. It is about to give a file that has none (else NULL) the name `name` in the directory of
 * `watch`: are visitors seen? It did so, or failed: did a visitor read the directory, or part of it, before?
 * The kernel tells of both in their order. */
void velo_visitors_flush_begins(struct velo_visitors *visitors);
void velo_visitors_wait(struct velo_visitors *visitors);
int velo_visitors_naming(struct velo_visitors *visitors, int watch, const char *name);
int velo_visitors_missed(struct velo_visitors *visitors);

#endif
