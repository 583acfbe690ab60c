/* temporary.h - temporary files of writebacks, and how they go when their writer was killed. */
#ifndef VELO_CORE_TEMPORARY_H
#define VELO_CORE_TEMPORARY_H

#include "core/arena/layout.h"

/* The name under which this thread writes `node` before it is renamed into place. */
void velo_temporary_name(velo_node_id node, char out[64]);
/* Note down, before it exists, the temporary file of `node` in `directory`; NULL when too many put
 * at once. `end` after it is gone or in place. */
struct velo_temporary *velo_temporary_begin(struct velo_region *region, velo_node_id node,
                                            velo_node_id directory);
void velo_temporary_end(struct velo_temporary *temporary);
/* Remove one; names that share its bytes (a further link on its way) learn their new ctime. */
int velo_temporary_remove(struct velo_region *region, velo_node_id directory, int dirfd,
                          const char *name);
/* Remove what dead writers noted down. */
void velo_temporaries_of_the_dead(struct velo_region *region);
/* Remove `name` in dirfd, found in `directory`, if its writer is dead. */
void velo_temporary_found(struct velo_region *region, velo_node_id directory, int dirfd,
                          const char *name);
/* Remove all temporaries of a directory without names, of the living too: their file is gone. */
void velo_temporaries_of_directory(struct velo_region *region, velo_node_id directory);

#endif
