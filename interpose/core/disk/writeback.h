/* writeback.h - writing files to their real paths, from inside the core (writeback.c). */
#ifndef VELO_CORE_WRITEBACK_H
#define VELO_CORE_WRITEBACK_H

#include "core/arena/layout.h"

/* Flags of velo_writeback. NO_REFRESH: the directory is being compared already. WAIT: the caller is a flush,
 * which waits while a process outside empties directories (visitors.h). OURS: the caller is the file's only
 * writer and does not write meanwhile, so that what is put is the file. Such a caller says so when it goes on
 * writing in memory (relocate.c). */
#define VELO_FLUSH_NO_REFRESH 4
#define VELO_FLUSH_WAIT 8
#define VELO_FLUSH_OURS 16
/* Put the regular file at `place` as it is now, loaded first if need be; of other things there is nothing
 * to put. As velo_writeback. */
int velo_writeback_place(struct velo_region *region, struct velo_place *place);

#endif
