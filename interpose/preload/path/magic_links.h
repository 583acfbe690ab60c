/* magic_links.h - what a process has open, by number and by links of /proc. */
#ifndef VELO_PRELOAD_MAGIC_LINKS_H
#define VELO_PRELOAD_MAGIC_LINKS_H

#include "preload/base/pointers.h"
#include "preload/base/preload.h"

/* The hosted node that `fd` is open on, or none. One fstat. */
velo_node_id velo_node_of_fd(struct velo_region *region, int fd);

/* The place of a hosted node that is known by a descriptor only. 0 or -errno. */
int velo_place_of_node(struct velo_region *region, velo_node_id node, struct velo_place *place);

/* /proc/self/fd/N, /proc/<pid>/fd/N and /dev/fd/N: N, or -1. For our own descriptors only. */
int velo_fd_of_path(const char *path);
/* "/proc/self/fd/N", or another process's. */
#define VELO_FD_PATH_MAX 48
void velo_path_of_fd(pid_t pid, int fd, char out[VELO_FD_PATH_MAX]);
#define VELO_SELF 0

/* A directory named by a link of /proc, with more text after it: *fd (or AT_FDCWD) and that text,
 * which is not empty; or NULL. */
const char *velo_behind_magic_link(const char *path, int *fd);
/* Such a path leads to a hosted directory, or to a hosted file that this process has open: *place. */
bool velo_claim_magic_link(struct velo_region *region, const char *path, unsigned flags,
                           struct velo_place *place);

#endif
