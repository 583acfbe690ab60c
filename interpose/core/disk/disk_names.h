/* disk_names.h - a file's names on disk, and its ctime there: looked at when only the disk knows. */
#ifndef VELO_CORE_DISK_NAMES_H
#define VELO_CORE_DISK_NAMES_H

#include "core/arena/layout.h"

#include <sys/stat.h>

/* A name in `directory` that led to the disk copy `inode` is gone from disk. Names that share the
 * copy learn its new ctime; when there are none, its number is no longer ours. */
void velo_copy_lost_locked(struct velo_region *region, velo_node_id directory, uint64_t inode);
/* A process that lives is renaming a new version into place at this moment. */
int velo_busy_writeback(const struct velo_region *region, const struct velo_name *name);
/* If a writer died between rename and record: what stands there (`disk`, NULL: it is looked at) is
 * ours, of no known version. */
void velo_writer_died_locked(struct velo_region *region, velo_name_id name,
                             const struct stat *disk);
/* A name of this file changed, and with it the file's ctime: a program that was shown the old one sees that. */
void velo_renamed_locked(struct velo_region *region, velo_node_id node);
/* Before the disk's half of such a change: if a program has seen the ctime, the next one is later, on kernels
 * that can do that. */
void velo_ctime_advance_locked(struct velo_region *region, velo_node_id node, const char *path);
/* After a name was removed: the file, not a directory, lives on with another ctime or is dropped. */
void velo_lose_link_locked(struct velo_region *region, velo_node_id node);

#endif
