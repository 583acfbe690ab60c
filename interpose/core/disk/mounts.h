/* mounts.h - doors of mounts.c and mounted.c inside the core. */
#ifndef VELO_CORE_MOUNTS_H
#define VELO_CORE_MOUNTS_H

#include "core/arena/layout.h"

struct velo_pass;

/* Look at the list of mounts: is something mounted at or below a hosted directory, or below `path`,
 * which is about to become one (or NULL)? Has a hosted directory a second name? Then the second name is
 * watched like a program that cannot be entered. The result is 0; or, when a second name is gone, the
 * token that velo_mounts_over needs after all was compared. Not with the flush lock. */
uint32_t velo_mounts_scan(struct velo_region *region, const char *path, size_t length);
void velo_mounts_over(struct velo_region *region, uint32_t token);
/* There is a second name from here on, also when there was one before: a process that saw the end of the
 * earlier one does not end this one. */
void velo_second_name_begins(struct velo_header *header);

static inline int velo_has_mounts(const struct velo_region *region)
{
    return atomic_load_explicit(&region->header->mounts_below, memory_order_relaxed) != 0;
}

#endif
