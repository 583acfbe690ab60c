/* file.h - steps of opening and copying files that other parts of the core use too. */
#ifndef VELO_CORE_FILE_H
#define VELO_CORE_FILE_H

#include "core/arena/layout.h"
#include "core/tree/outcome.h"
#include "core/tree/snapshot.h"

/* A name that does not exist yet, opened with O_CREAT: a descriptor, VELO_AGAIN or -errno. */
int velo_create(struct velo_region *region, struct velo_place *place, int flags, mode_t mode);
/* In a set-group-ID directory `parent` a new file has its group; `fd` is one, *stat of it. -EPERM: the
 * kernel alone can give it that, because the caller is not in the group. */
int velo_inherit_group(const struct velo_node *parent, int fd, struct stat *stat);
/* The same by mknod, at its real path: nothing is opened. 0 or -errno. */
int velo_make_on_disk(struct velo_region *region, struct velo_place *place, mode_t mode);
/* The kernel's inode of a node that is not in memory is another now, or has other links. */
void velo_unbacked_changed(struct velo_region *region, uint32_t node, int times);
/* Walk place's own path once more: after somebody changed the tree. */
int velo_walk_again(struct velo_region *region, unsigned flags, struct velo_place *place);
/* Under the lock: place->path as it is now; an ancestor may have been renamed since the walk. */
int velo_fresh_path(struct velo_region *region, struct velo_place *place);
/* Whether exec or dlopen may want a file of this name and mode at its real path. */
int velo_is_program_like(const char *name, size_t length, mode_t mode);

/* retiring.c: the same as velo_retire_found, after everything was put and what is below has left memory. -ENOSPC,
 * too, when somebody has a file there open, or had a moment ago. */
int velo_retire(struct velo_region *region, uint32_t directory);

#endif
