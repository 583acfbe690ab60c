/* residency.h - where may a file's bytes live?  One answer, with its reason (residency.c). */
#ifndef VELO_CORE_RESIDENCY_H
#define VELO_CORE_RESIDENCY_H

#include "core/velo.h"
#include "core/tree/snapshot.h"

/* In memory, or why not: then they are where the file's names are. `velo trace` says it (RESIDENCY_NAMES of
 * interpose/core.py, in this order). */
enum velo_residency {
    VELO_IN_MEMORY = 0,
    VELO_DISK_WATCHED, /* a program watches the file or its directory: the kernel announces what is on disk */
    VELO_DISK_ACL, /* the directory gives new files an access control list, which tmpfs may lack */
    VELO_DISK_LOCK, /* programs outside meet here, by locks or by the name */
    VELO_DISK_OPAQUE, /* a program that sees the disk alone is running */
    VELO_DISK_UNSEEN, /* a process that we do not see may write, and there is no grant for that */
    VELO_DISK_SPACE, /* memory is full, and no shard made room in time */
    VELO_DISK_OTHERS, /* it, its group or its directory is another user's: no copy would be as it is */
    VELO_DISK_OPEN, /* a process knows the disk's file: by another name, by O_PATH, by a descriptor */
};

/* Of a regular file that is made in `directory`, with open's flags; may wait for space. */
enum velo_residency velo_residency_of_new(struct velo_region *region,
                                          const struct velo_place *place, velo_node_id directory,
                                          int flags);
/* Of one that is there, in memory or on disk, and is opened to be written. */
enum velo_residency velo_residency_to_write(struct velo_region *region,
                                            const struct velo_place *place,
                                            const struct velo_snapshot *snapshot);

#endif
