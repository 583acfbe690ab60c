/* put.h - writing files to their real paths, from inside the core (put.c). */
#ifndef VELO_CORE_PUT_H
#define VELO_CORE_PUT_H

#include "core/arena/layout.h"

/* Put the regular file at `place` as it is now, loaded first if need be; of other things there is nothing
 * to put. As velo_put. */
int velo_put_place(struct velo_region *region, struct velo_place *place);

#endif
