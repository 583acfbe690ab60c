/* loosen.h - steps on disk in a directory that its owner has made read-only, and reading a file that
 * its owner has made unreadable.
 *
 * A program may write a file and then close the directory (chmod 555) while the file is in memory
 * only.  Root puts it there all the same; others must give themselves the right for the step.  That
 * is done under the lock, in one hold, and noted in header.loosened: whoever finds us killed gives
 * the directory its mode back, so nobody takes ours for a change from outside.  The same for a file
 * (chmod 0, or 0311) that is to be put, stored or copied: it is readable for the moment of an open. */
#ifndef VELO_CORE_LOOSEN_H
#define VELO_CORE_LOOSEN_H

#include "layout.h"

/* Without the lock: openat, unlinkat, renameat and linkat in `directory`, again with the right to write
 * when the answer is -EACCES. */
int velo_loose_create(struct velo_region *region, uint32_t directory, int dirfd, const char *name);
int velo_loose_unlink(struct velo_region *region, uint32_t directory, int dirfd, const char *name);
int velo_loose_rename(struct velo_region *region, uint32_t directory, int dirfd, const char *from,
                      const char *to);
int velo_loose_link(struct velo_region *region, uint32_t directory, const char *path, int dirfd,
                    const char *name);
/* Without the lock: open the bytes of a regular file, in memory (VELO_ID_ARENA) or on disk, at `path`,
 * for velo itself.  `flags` are more of O_RDONLY; the ctime that is shown stays.  A descriptor or
 * -errno, -EACCES also when the caller is not its owner. */
int velo_open_to_read(struct velo_region *region, uint32_t node, unsigned which, const char *path,
                      int flags);
/* Under the lock, for recovery. */
void velo_loosened_recover(struct velo_region *region);

#endif
