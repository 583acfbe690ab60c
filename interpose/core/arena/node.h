/* node.h - the words of a node, and the table from kernel identities to nodes.
 *
 * Functions that end in _locked need the namespace lock (velo_begin) and store only through
 * velo_set; a caller that meets an error later undoes them all with velo_abort.  The others read,
 * and are right either under the lock or between velo_read_begin and velo_read_retry. */
#ifndef VELO_CORE_NODE_H
#define VELO_CORE_NODE_H

#include "lock.h"

/* ---- hashes -------------------------------------------------------------------------------- */
/* One hash function for names, roots and homes: 8 bytes a step, multiply and fold (after the
 * multiply-mix family of Dietz and others; collisions cost a comparison, nothing else). */
uint32_t velo_hash(uint64_t seed, const char *text, size_t length);
/* The shard of a path: what clients and router both use. */
uint32_t velo_home_of(const struct velo_region *region, const char *path, size_t length);

/* Type, state and home share one word: the type is set first, the others become 0. */
void velo_type_set_locked(struct velo_region *region, velo_node_id node, enum velo_type type);
void velo_state_set_locked(struct velo_region *region, velo_node_id node, enum velo_state state);
/* What a file is charged to its slice from now on, in bytes. */
void velo_charge_set_locked(struct velo_region *region, velo_node_id node, uint64_t bytes);

/* ---- identities ---------------------------------------------------------------------------- */
void velo_identity_set_locked(struct velo_region *region, velo_node_id node, unsigned which,
                              uint64_t device, uint64_t inode);
void velo_identity_clear_locked(struct velo_region *region, velo_node_id node, unsigned which);
velo_node_id velo_identity_find(const struct velo_region *region, uint64_t device, uint64_t inode);

#endif
