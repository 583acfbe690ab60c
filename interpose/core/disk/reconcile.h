/* reconcile.h - taking in what the disk holds: first sight of a hosted directory, changes made by
 * others, one name after an exotic call.  The doors inside the core; velo_reconcile is in velo.h. */
#ifndef VELO_CORE_RECONCILE_H
#define VELO_CORE_RECONCILE_H

#include "core/arena/layout.h"
#include "core/velo.h"

#define VELO_FLUSH_LOCK_PATIENCE_MS 60000

/* Take in the tree below `directory`, which no walk leads to yet; the caller holds the flush lock. */
int velo_tree_take_in(struct velo_region *region, velo_node_id directory);
/* Compare one directory (not what is below, but for new directories) with the disk. */
int velo_directory_refresh(struct velo_region *region, velo_node_id directory);
/* `directory` is no more at its path, by an outsider's doing: the namespace learns how far up. */
void velo_directory_lost(struct velo_region *region, velo_node_id directory);
/* Until the namespace has taken in what the kernel did in `directory`, each process that comes there looks
 * at the disk. Whether it was not marked before. */
int velo_stale_locked(struct velo_region *region, velo_node_id directory);
/* The same, when a name there is made or removed by the kernel alone. */
void velo_stale(struct velo_region *region, velo_node_id directory);
/* What was marked STALE is compared: take the mark away, unless a process was killed since header.recoveries
 * was `recoveries`. */
void velo_not_stale(struct velo_region *region, velo_node_id directory, uint64_t recoveries);
/* Make the namespace's `text` in `parent` what the disk has there now, whatever it was. */
int velo_take_from_disk(struct velo_region *region, velo_node_id parent, const char *text,
                        size_t length);

/* While opaque programs run (opaque.c): compare everything when one has ended, and the path that a
 * walk just came along, with what it answered. True when something was taken in: walk again. */
struct velo_walked {
    velo_node_id start; /* hosted directory; none: text is absolute */
    const char *text;
    unsigned flags;
    int links;   /* symlinks followed */
    int answer;  /* 0 with *place, or -errno */
    int attempt; /* from 0 */
};
#define VELO_WALK_A_PREFIX                                                                         \
    0x1000u /* resolve.c passes it on to velo_opaque_compare, which said it */

#endif
