/* pool.h - slots of nodes, names and chunks, and the three lists that a name is in.
 *
 * Within one change, take slots before giving any back (pool.c says why). */
#ifndef VELO_CORE_POOL_H
#define VELO_CORE_POOL_H

#include "node.h"

/* ---- slots --------------------------------------------------------------------------------- */
/* A node of `type`, everything else zero but its generation; none when the pool is full. */
velo_node_id velo_node_new_locked(struct velo_region *region, enum velo_type type);
void velo_node_free_locked(struct velo_region *region, velo_node_id node);
/* The chain of chunks that holds `length` bytes, or none. */
velo_chunk_id velo_text_new_locked(struct velo_region *region, const char *text, size_t length);
void velo_text_free_locked(struct velo_region *region, velo_chunk_id chunk);
/* Copy a symlink's target; its length, or -ENAMETOOLONG when it does not fit (or was torn). */
long velo_target_read(const struct velo_region *region, const struct velo_node *node, char *out,
                      size_t size);

/* ---- names --------------------------------------------------------------------------------- */
/* The name `text` in `parent`, or none. */
velo_name_id velo_name_find(const struct velo_region *region, velo_node_id parent, const char *text,
                            size_t length);
/* The same of a place, which a walk may have found long ago. */
static inline velo_name_id velo_name_there(const struct velo_region *region,
                                           const struct velo_place *place)
{
    return velo_name_find(region, place->at.parent, place->text.name, place->text.name_length);
}
/* Copy a name's text (at most VELO_NAME_MAX bytes) and terminate it; its length. */
size_t velo_name_text(const struct velo_region *region, const struct velo_name *name,
                      char out[VELO_NAME_MAX + 1]);
/* Enter `text` in `parent` for `node` (one more link); none when the pool is full. The parent's counts
 * follow, its times do not (velo_touch_locked). */
velo_name_id velo_name_enter_locked(struct velo_region *region, velo_node_id parent,
                                    const char *text, size_t length, velo_node_id node);
/* Take the name out (one link less) and free its slot; the node stays. */
void velo_name_remove_locked(struct velo_region *region, velo_name_id name);
/* A file without a name: say that its last one was `text` in `parent`. 0 or -ENOSPC. */
int velo_last_name_locked(struct velo_region *region, velo_node_id node, velo_node_id parent,
                          const char *text, size_t length);
void velo_last_name_forget_locked(struct velo_region *region, velo_node_id node);

#endif
