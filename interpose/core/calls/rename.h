/* rename.h - what other files call of rename.c. */
#ifndef VELO_CORE_CALLS_RENAME_H
#define VELO_CORE_CALLS_RENAME_H

#include "core/arena/layout.h"
#include "core/calls/move.h"

/* Say, right before it, what a rename or link is about to do on disk: recovery needs it, should we die. */
void velo_intent_announce(struct velo_region *region, int kind, velo_name_id from_name,
                          const struct velo_place *to);
/* For recovery, under the lock: finish the rename of header.moving if the disk has done its half.
 * 0, or -ENOSPC: to be undone. */
int velo_rename_recover(struct velo_region *region);
/* Find both names, with no writeback of theirs in flight; meanwhile the lock may be left and taken
 * again. 0, -ENOENT: `from` is gone, -EBUSY. */
int velo_move_find_locked(struct velo_move *move, struct velo_hold *hold);
/* place->text.path of both as it is now. 0, VELO_BEYOND_REACH or -errno. */
int velo_move_paths_locked(struct velo_move *move);
/* `name` is new; what stands on disk under it (`disk`) stood under another name of `node` before, as
 * its `version`. */
void velo_moved_locked(struct velo_region *region, velo_name_id name, velo_node_id node,
                       uint64_t version, const struct stat *disk);
/* `node` has its new name, in place->at.parent, and no longer the old one. */
void velo_took_place_locked(struct velo_region *region, velo_node_id node,
                            const struct velo_place *place);

#endif
