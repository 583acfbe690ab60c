/* opaque_table.c - is there, at this moment, somebody who sees the disk and not us (opaque.c)? */
#include "core/velo.h"

#include "core/arena/layout.h"
#include "core/arena/region.h"

int velo_opaque_runs(const struct velo_region *region)
{
    return atomic_load_explicit(&region->header->opaque_running, memory_order_relaxed) != 0;
}
