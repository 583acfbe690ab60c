/* move.h - two names under the lock: what rename.c and exchange.c share. */
#ifndef VELO_CORE_MOVE_H
#define VELO_CORE_MOVE_H

#include "core/tree/tree.h"

struct velo_move {
    struct velo_region *region;
    struct velo_place *from, *to;
    unsigned flags;
    uint32_t from_name, to_name; /* 0: missing */
    uint32_t made;               /* the name that takes the place of to_name, once there is one */
    uint32_t node, victim;       /* what is moved; what stood at `to`, 0: nothing */
    int goes;                    /* what of the victim stands on disk may not stay there */
};

/* Find both names, with no writeback of theirs in flight; meanwhile the lock may be left and taken
 * again. 0, -ENOENT: `from` is gone, -EBUSY. */
int velo_move_find_locked(struct velo_move *move, struct velo_hold *hold);
/* place->path of both as it is now. 0, VELO_BEYOND_REACH or -errno. */
int velo_move_paths_locked(struct velo_move *move);
/* `name` is new; what stands on disk under it (`disk`) stood under another name of `node` before, as
 * its `version`. */
void velo_moved_locked(struct velo_region *region, uint32_t name, uint32_t node, uint64_t version,
                       const struct stat *disk);
/* `node` has its new name, in place->parent, and no longer the old one. */
void velo_took_place_locked(struct velo_region *region, uint32_t node,
                            const struct velo_place *place);

/* exchange.c: RENAME_EXCHANGE of two hosted names that are no roots. 0, VELO_AGAIN (walk again) or
 * -errno. */
int velo_exchange(struct velo_region *region, struct velo_place *from, struct velo_place *to);
/* The disk has done its half: move->from, ->to, their names and nodes are set. 0 or -ENOSPC. */
int velo_exchange_recover(struct velo_move *move);

#endif
