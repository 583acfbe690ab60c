/* poison.h - the gap detector: what slips past every net must fail, not read something old.
 *
 * For tests.  While the current version of a hosted file is in memory only, a socket that nobody
 * listens to stands at its real path: to open or run it is ENXIO or EACCES for everybody, root
 * included, which no mode bits would do, and lstat shows it.  A writeback renames the file over it;
 * all else that treats names that are on disk (unlink, rename) treats it as an older version. */
#ifndef VELO_CORE_POISON_H
#define VELO_CORE_POISON_H

#include "core/arena/layout.h"

#include <sys/stat.h>

/* After a change of `node`, or a new name for it: its names on disk become poison. Nothing happens
 * in an arena without the option, or to a file that is not in memory. */
void velo_poison_set_locked(struct velo_region *region, velo_node_id node);

#endif
