/* path.h - what other files call of path.c. */
#ifndef VELO_CORE_TREE_PATH_H
#define VELO_CORE_TREE_PATH_H

#include "core/arena/layout.h"

/* `directory` is `ancestor` or below it. */
int velo_is_below(const struct velo_region *region, velo_node_id directory, velo_node_id ancestor);
/* Did `directory`, or one above it, become the kernel's after a walk had come there? No path would lead to a name
 * that is entered there now. */
int velo_is_retired(const struct velo_region *region, velo_node_id directory);
/* Bytes of the longest path from a directory down, with its first slash; 0 of all else. */
size_t velo_longest_below(const struct velo_region *region, velo_node_id top);
/* Real path of a directory or of a name in it, under the lock. Length or -errno. */
int velo_directory_path(const struct velo_region *region, velo_node_id directory,
                        char path[PATH_MAX]);
int velo_name_path(const struct velo_region *region, velo_node_id parent, const char *text,
                   size_t length, char path[PATH_MAX]);
/* "<arena>/i/<id>". */
uint64_t velo_backing_new(struct velo_region *region);
/* May the caller search (1), write (2) or read (4) the directory? 0 or -EACCES. */
int velo_may(struct velo_region *region, const struct velo_node *directory, unsigned wanted);
/* Was the parent removed since the walk, is its slot another's, or is it with all its names the kernel's? */
int velo_parent_is_gone(const struct velo_region *region, const struct velo_place *place);
/* May the caller make a name there? 0 or -EACCES; 0 also when the parent is gone: the caller learns that
 * as soon as it takes the lock. */
int velo_may_change(struct velo_region *region, const struct velo_place *place);
/* On the way of a walk with these flags: may the caller search it? */
int velo_may_search(struct velo_region *region, const struct velo_node *directory,
                    unsigned walk_flags);
/* May the caller remove or rename `node` in `directory` (write, sticky)? 0, -EACCES, -EPERM. */
int velo_may_remove(struct velo_region *region, const struct velo_node *directory,
                    const struct velo_node *node);
/* May the caller put a copy of the file in `directory`, with the same owner and group? Rights that an owner took
 * from himself do not matter (rights.h). 0, -EACCES, -EPERM. */
int velo_may_copy(struct velo_region *region, const struct velo_node *directory,
                  const struct velo_node *node);
/* May the caller give the file a further name, as far as it is for its owner to say? 0 or -EPERM. */
int velo_may_link(struct velo_region *region, const struct velo_node *node);

#endif
