/* step.h - one component of a path after the other (step.c): what resolve.c keeps while it walks. */
#ifndef VELO_CORE_CALLS_STEP_H
#define VELO_CORE_CALLS_STEP_H

#include "core/tree/outcome.h"
#include "core/tree/tree.h"

#define KERNELS_MAX 8

struct velo_walker {
    struct velo_region *region;
    struct velo_place *place;
    unsigned flags;
    char *buffer; /* PATH_MAX bytes for text with a symlink spliced in, or NULL */
    const char *rest; /* text still to walk */
    velo_node_id directory; /* node the walk stands in; none: outside */
    velo_node_id root;
    size_t length; /* of place->text.path */
    int links; /* symlinks followed */
    struct { /* paths found to be no hosted directory, nor is anything below them */
        size_t length;
        uint32_t hash;
    } kernels[KERNELS_MAX];
    uint32_t kernels_count;
    struct { /* where something is mounted: from here on outside */
        velo_node_id directory, root; /* above it, or none */
        size_t length; /* of its path, 0: not below one */
    } mount;
    velo_node_id overlong; /* directory with an entry that has no path of its own */
};

/* Go on to the next component of w->rest. 0, a VELO_STOP_ or -errno. */
int velo_walker_step(struct velo_walker *w);
/* The walk is in `directory` now. */
void velo_walker_stand_in(struct velo_walker *w, velo_node_id directory);
/* Something is mounted on this directory. */
int velo_is_mounted_on(const struct velo_region *region, velo_node_id node);
/* w->place->text.path is no hosted directory. */
void velo_walker_remember(struct velo_walker *w);

#endif
