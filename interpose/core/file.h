/* file.h - steps of opening and copying files that other parts of the core use too. */
#ifndef VELO_CORE_FILE_H
#define VELO_CORE_FILE_H

#include "layout.h"

/* All bytes from one descriptor's offset to its end. 0 or -errno; EINTR and EAGAIN are retried. */
int velo_copy_bytes(int from, int to);
/* Owner, mode and times; what a caller without the right cannot set stays as the kernel made it. */
void velo_copy_attributes(int to, const struct stat *from);
/* Walk place's own path once more: after somebody changed the tree. */
int velo_walk_again(struct velo_region *region, unsigned flags, struct velo_place *place);
/* Under the lock: place->path as it is now; an ancestor may have been renamed since the walk. */
int velo_fresh_path(struct velo_region *region, struct velo_place *place);
/* Whether exec or dlopen may want a file of this name and mode at its real path. */
int velo_looks_like_program(const char *name, size_t length, mode_t mode);
/* Before a file grows: 0, or -ENOSPC when memory is full and nobody made room in time. */
int velo_space_for_open(struct velo_region *region, uint32_t shard);

#endif
