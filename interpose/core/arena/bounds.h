/* bounds.h - how far lists and counts of the table are followed.
 *
 * A wild store of a program can make a circle of any list, and any number of a count. So each walk counts
 * its steps, and takes no count for more than there was laid out. What such a store makes of the tree is another
 * matter: check.c tells. */
#ifndef VELO_CORE_BOUNDS_H
#define VELO_CORE_BOUNDS_H

#include "layout.h"

/* The next of a node's names, or none. A wild store can make a circle of them: `steps`, which begins
 * at 0, counts them, and no walk is longer than there are slots. */
static inline velo_name_id velo_next_of_node(const struct velo_region *region, velo_name_id name,
                                             uint32_t *steps)
{
    const velo_name_id *next = &velo_name_at(region, name)->next_of_node;
    return ++*steps < region->names.count
               ? velo_name_from(__atomic_load_n(&next->slot, __ATOMIC_RELAXED))
               : VELO_NO_NAME;
}

/* Of a walk through all names below a directory: down and up each at most once. */
static inline uint32_t velo_walk_steps_max(const struct velo_region *region)
{
    return 2 * region->names.count;
}

/* As many as there can be, whatever a wild store made of the count. */
static inline uint32_t velo_at_most(const uint32_t *count, uint32_t limit)
{
    const uint32_t told = __atomic_load_n(count, __ATOMIC_RELAXED);
    return told < limit ? told : limit;
}

static inline uint32_t velo_roots_used(const struct velo_region *region)
{
    return velo_at_most(&region->header->root_count, VELO_ROOTS_MAX);
}

static inline uint32_t velo_patterns_used(const struct velo_header *header)
{
    return velo_at_most(&header->pattern_count, VELO_PATTERNS_MAX);
}

static inline uint32_t velo_nodes_used(const struct velo_region *region)
{
    return velo_at_most(&region->header->nodes.used, region->nodes.count);
}

#endif
