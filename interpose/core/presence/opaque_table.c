/* opaque_table.c - does a program run at this moment that sees the disk and not memory (opaque.c)? */
#include "core/velo.h"

#include "core/arena/layout.h"
#include "core/arena/region.h"

int velo_opaque_runs(const struct velo_region *region)
{
    return atomic_load_explicit(&region->header->opaque_running, memory_order_relaxed) != 0;
}
