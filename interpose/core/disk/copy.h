/* copy.h - bytes and attributes from one place to another: copy up from disk, load from the store. */
#ifndef VELO_CORE_COPY_H
#define VELO_CORE_COPY_H

#include "core/tree/snapshot.h"

/* All bytes of one file to another, which is empty; holes stay holes. 0 or -errno; EINTR and EAGAIN are
 * retried. */
int velo_copy_bytes(int from, int to);
/* Owner, extended attributes of `from` (-1: none), mode and times. Attributes that the caller has no right to
 * set stay as the kernel made them. 0, or -errno of velo_copy_xattrs. */
int velo_copy_attributes(int from, int to, const struct stat *attributes);
/* DISK -> BACKED; with `truncate` the bytes are not wanted. 0, VELO_AGAIN, -EBUSY (a process has the
 * disk's file open, and must go on seeing what becomes of it) or -errno. */
int velo_copy_up(struct velo_region *region, struct velo_place *place,
                 const struct velo_snapshot *snapshot, int truncate);
/* COLD -> BACKED, by its shard. 0 also when it was not COLD; -errno: it cannot come back now. */
int velo_load(struct velo_region *region, velo_node_id node);
/* A COLD file has no inode to ask: bring it into memory first. 0 or -errno. */
int velo_fetch(struct velo_region *region, struct velo_place *place);

/* Do names outside hosted directories share a DISK file, of which `disk` is? Then writes must reach them, too. */
int velo_has_outside_names(const struct velo_region *region, velo_node_id node,
                           const struct stat *disk);

#endif
