/* mounted.h - what other files call of mounted.c. */
#ifndef VELO_CORE_DISK_MOUNTED_H
#define VELO_CORE_DISK_MOUNTED_H

#include "core/arena/layout.h"
#include "core/disk/pass.h"

/* mounted.c: 1: something is mounted at this name, which is the kernel's now, with all below it. 0: nothing
 * is, or nothing any more; or -ENOSPC. */
int velo_mounted_name(struct velo_pass *pass, int dirfd, velo_node_id parent, const char *text);
/* The same of a hosted directory itself, also when it cannot be written. */
int velo_mounted_root(struct velo_region *region, const struct velo_root *root);
/* The file system of `path` is mounted read-only. */
int velo_is_read_only(const char *path);
/* The directory, or one above it, has something mounted on it. */
int velo_is_covered(const struct velo_region *region, velo_node_id directory);

#endif
