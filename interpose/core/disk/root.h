/* root.h - what other files call of root.c. */
#ifndef VELO_CORE_DISK_ROOT_H
#define VELO_CORE_DISK_ROOT_H

#include "core/arena/layout.h"

/* Does velo.toml name the directory `path`? */
int velo_pattern_matches(const struct velo_header *header, const char *path, size_t length);
/* The node of that root, or none. */
velo_node_id velo_root_find(const struct velo_region *region, const char *path, size_t length);
/* Make `path` (of `length` bytes) a root and take in its tree: names and stats only. -ENOENT,
 * -ENOTDIR when it is no directory (a symlink is none), -ENOSPC when there is no slot left. */
int velo_root_attach(struct velo_region *region, const char *path, size_t length);
/* Forget a root and everything below, in memory only. */
void velo_root_forget(struct velo_region *region, velo_node_id root);

#endif
