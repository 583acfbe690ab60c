/* missing.h - files whose bytes in memory were removed or cut off: by a cleaner of temporary files, or at a logout
 * (systemd's RemoveIPC).
 *
 * In    a file that is BACKED
 * Out   is its file in memory there? A process that misses it asks for a decision (upkeep/removed.c)
 * Never a decision here: from a sandbox of its own a program may not see what is there, so a process with the
 *       server's view of the file systems decides */
#ifndef VELO_CORE_MISSING_H
#define VELO_CORE_MISSING_H

#include <sys/stat.h>

#include "core/arena/layout.h"

/* Has the file in memory of `node` been removed, replaced by something else, or cut off? */
int velo_is_missing(struct velo_region *region, velo_node_id node);
int velo_is_missing_locked(const struct velo_region *region, const struct velo_node *node);
/* Was the file in memory cut off from outside, as `stat` or `fd` shows it? Only a caller that knows that no process
 * writes the file may ask the first. */
int velo_is_cut_locked(const struct velo_node *node, const struct stat *stat);
int velo_is_cut(struct velo_region *region, velo_node_id node, int fd);
/* A client met such a file: the file's shard is asked to decide what becomes of it. */
void velo_missing_ask(struct velo_region *region, velo_node_id node);

#endif
