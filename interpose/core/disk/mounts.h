/* mounts.h - doors of mounts.c and mounted.c inside the core. */
#ifndef VELO_CORE_MOUNTS_H
#define VELO_CORE_MOUNTS_H

#include "core/arena/layout.h"

struct velo_pass;

/* Look at the list of mounts: is something mounted at or below a hosted directory, or below `path`,
 * which is about to become one (or NULL); has one a second name? In that case it is watched like a
 * program that cannot be entered. The result is 0 or, when that is over, what velo_mounts_over needs
 * after all was compared. Not with the flush lock. */
uint32_t velo_mounts_scan(struct velo_region *region, const char *path, size_t length);
void velo_mounts_over(struct velo_region *region, uint32_t token);
/* There is one from here on, also when there was: who saw the end of what was before does not end it. */
void velo_second_name_begins(struct velo_header *header);
/* Now and then, while there is a second name: is it gone? */
void velo_mounts_poll(struct velo_region *region);

/* mounted.c: something is mounted at this name: it is the kernel's, with all below it, and 1 is the
 * answer. 0: nothing is, perhaps no more; or -ENOSPC. */
int velo_mounted_name(struct velo_pass *pass, int dirfd, uint32_t parent, const char *text);
/* The same of a hosted directory itself, also when it cannot be written. */
int velo_mounted_root(struct velo_region *region, const struct velo_root *root);
/* Nobody can write on the file system of `path`. */
int velo_is_read_only(const char *path);
/* The directory, or one above it, has something mounted on it. */
int velo_is_covered(const struct velo_region *region, uint32_t directory);

static inline int velo_has_mounts(const struct velo_region *region)
{
    return atomic_load_explicit(&region->header->mounts_below, memory_order_relaxed) != 0;
}

#endif
