/* tether.h - directories whose files are not all on disk yet, found wherever an outsider moves them.
 *
 * What is in memory belongs to a directory, not to its path.  So a shard keeps a descriptor of each
 * directory in which something waits to be put, and says so in the node.  A writer of a file opens that
 * descriptor, also from another process, by /proc.  The path stays the way to directories without one. */
#ifndef VELO_CORE_DISK_TETHER_H
#define VELO_CORE_DISK_TETHER_H

#include "core/arena/layout.h"

/* A descriptor (O_PATH) of `directory`, which is the one that the namespace knows. -ENOENT: it has no
 * tether; -ESTALE: an outsider removed it.  With or without the lock. */
int velo_tethered(struct velo_region *region, velo_node_id directory);
/* Four moments of a flush, in a process that has tethers: it begins; it is about to put a file; it is about to
 * give the file the name `name`, which should wait when this says so; it did, and a visitor missed that
 * (visitors.h). */
void velo_tether_flush_begins(struct velo_region *region);
void velo_tether_wait(struct velo_region *region);
int velo_tether_naming(struct velo_region *region, velo_node_id directory, const char *name);
int velo_tether_missed(struct velo_region *region);
/* The open `fd` is the directory that the namespace knows as `directory`. */
int velo_is_directory_of(const struct velo_region *region, velo_node_id directory, int fd);

#endif
