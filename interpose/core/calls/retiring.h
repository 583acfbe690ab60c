/* retiring.h - what other files call of retiring.c. */
#ifndef VELO_CORE_CALLS_RETIRING_H
#define VELO_CORE_CALLS_RETIRING_H

#include "core/arena/layout.h"

/* retiring.c: the same as velo_retire_found, after everything was put and what is below has left memory. -ENOSPC,
 * too, when somebody has a file there open, or had a moment ago. */
int velo_retire(struct velo_region *region, uint32_t directory);

#endif
