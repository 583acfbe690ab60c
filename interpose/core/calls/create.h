/* create.h - what other files call of create.c. */
#ifndef VELO_CORE_CALLS_CREATE_H
#define VELO_CORE_CALLS_CREATE_H

#include "core/arena/layout.h"

/* A name that does not exist yet, opened with O_CREAT: a descriptor, VELO_AGAIN or -errno. */
int velo_create(struct velo_region *region, struct velo_place *place, int flags, mode_t mode);
/* In a set-group-ID directory `parent` a new file gets the directory's group. `fd` is a new file, *stat of it.
 * -EPERM: only the kernel can give it that group, because the caller is not in the group. */
int velo_inherit_group(const struct velo_node *parent, int fd, struct stat *stat);
/* The same by mknod, at its real path: nothing is opened. 0 or -errno. */
int velo_make_on_disk(struct velo_region *region, struct velo_place *place, mode_t mode);
/* Whether exec or dlopen may want a file of this name and mode at its real path. */
int velo_is_program_like(const char *name, size_t length, mode_t mode);

#endif
