/* watch.h - processes that watch (inotify, fanotify), and what they watch: watch.c.  What follows from it
 * for a file's bytes: leave.c.  The calls themselves: watching.c. */
#ifndef VELO_CORE_WATCH_H
#define VELO_CORE_WATCH_H

#include "core/arena/layout.h"

/* Is this directory or file watched? */
int velo_is_watched(const struct velo_region *region, velo_node_id node);
/* The disk's side of these directories (or none) is changed next, and the namespace in the same hold.
 * Recovery needs to know, should we die (lock.h, L3); and a watcher will look there as soon as it hears. */
void velo_disk_step_locked(struct velo_region *region, velo_node_id directory, velo_node_id other);
/* Must the bytes of this file be where its names are? */
int velo_belongs_on_disk(struct velo_region *region, velo_node_id node);
/* Free the slots of watchers that are dead. */
void velo_watchers_reap(struct velo_region *region);
/* This process watches from now on. 0 or -ENOSPC. */
int velo_watcher_enter_locked(struct velo_header *header);

#endif
