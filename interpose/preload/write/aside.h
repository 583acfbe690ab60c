/* aside.h - this process gives up its descriptors of a file for a moment, and gets them back (aside.c). */
#ifndef VELO_PRELOAD_WRITE_ASIDE_H
#define VELO_PRELOAD_WRITE_ASIDE_H

#include "preload/base/preload.h"

#define VELO_ASIDE_FILES 64u

struct velo_aside {
    unsigned count;
    uint32_t generation; /* of the node: a later file may get its number */
    struct {
        int fd, flags;
        unsigned first; /* the first one of the same open file description */
        off_t offset;
    } all[VELO_ASIDE_FILES];
};

/* Of this process alone, which has one thread: do the two share their offset? */
bool velo_same_description(int one, int two);
/* The numbers `fds` know the file by its path only from now on, and the table of processes says so. False and nothing
 * changed, but that this process does not wait any more: they could not be had back as they are (locks, rights), or
 * the file has no name. `text` is scratch. */
bool velo_step_aside(struct velo_region *region, velo_node_id node, const int *fds, unsigned count,
                     char *text, size_t size, struct velo_aside *aside);
/* The descriptors are open again as they were, wherever the file is now; `aside` is empty. Does not wait. */
void velo_step_back(struct velo_region *region, velo_node_id node, struct velo_aside *aside);

#endif
