/* census.h - which descriptors lead to which files in memory, of all processes at once (census.c). */
#ifndef VELO_PRELOAD_WRITE_CENSUS_H
#define VELO_PRELOAD_WRITE_CENSUS_H

#include "preload/base/preload.h"

#define VELO_CENSUS_MAX 16384u
#define VELO_NOT_OURS_ALONE (-1)

struct velo_had {
    uint64_t backing; /* the file's number in the arena */
    int fd; /* of this process, or VELO_NOT_OURS_ALONE: another has it, or it is mapped */
};

struct velo_census {
    unsigned count;
    struct velo_had had[VELO_CENSUS_MAX]; /* by backing */
    char maps[1u << 16];
};

/* `file` is one of the arena's, as /proc spells it. NULL: a process cannot be looked into, or there are too many
 * files. What other threads of this process do meanwhile is not seen. */
struct velo_census *velo_census_take(const struct velo_region *region, const char *file);
void velo_census_free(struct velo_census *census);

#endif
