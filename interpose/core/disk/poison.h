/* poison.h - the gap detector: a call that slips past velo must fail, not read something old.
 *
 * For tests.  While the current version of a hosted file is in memory only, a socket without a listener
 * stands at its real path: to open or run it is ENXIO or EACCES for every user, root included, which no
 * mode bits would do, and lstat shows it.  A writeback renames the file over the socket; all other steps
 * on names that are on disk (unlink, rename) treat the socket as an older version. */
#ifndef VELO_CORE_POISON_H
#define VELO_CORE_POISON_H

#include "core/arena/layout.h"

#include <sys/stat.h>

/* After a change of `node`, or a new name for it: its names on disk become poison. Nothing happens
 * in an arena without the option, or to a file that is not in memory. */
void velo_poison_set_locked(struct velo_region *region, velo_node_id node);

#endif
