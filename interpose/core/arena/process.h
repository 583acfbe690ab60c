/* process.h - attached processes, names of programs with counts, and writers that are at work. */
#ifndef VELO_CORE_PROCESS_H
#define VELO_CORE_PROCESS_H

#include "layout.h"

/* The slot that counts `name`; when the table is full, some other name's. */
struct velo_tally *velo_tally_of(struct velo_tally *table, const char *name);
/* Since when the table has a process of this number; 0: it has none. */
uint64_t velo_enlisted_since(const struct velo_region *region, uint32_t pid);
/* A process that waits for this node has given up its descriptors, and must find the file again. */
int velo_somebody_is_aside(const struct velo_region *region, velo_node_id node);
/* Whether `writer` (of a name, not 0) is between rename and record, and not dead. */
int velo_writer_alive(const struct velo_region *region, uint32_t writer);

#endif
