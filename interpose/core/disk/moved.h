/* moved.h - files that wait in a directory that an outsider moved go where the directory is now (tether.h). */
#ifndef VELO_CORE_DISK_MOVED_H
#define VELO_CORE_DISK_MOVED_H

#include "core/arena/layout.h"

/* Put the files that wait below `directory`, which is no more at its path, to where an outsider moved it. Files
 * that the outsider removed stay as they are. */
void velo_flush_tethered(struct velo_region *region, velo_node_id directory);
/* Forget the name and all below it, as velo_forget; what waits there, and was only moved, is put first. */
void velo_forget_moved(struct velo_region *region, velo_node_id parent, const char *text,
                       size_t length);

#endif
