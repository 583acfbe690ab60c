/* rights.h - steps on disk where the owner of a directory or file has taken his own rights away.
 *
 * A program may write a file and then close its directory (chmod 555, chmod 0) or the file itself
 * (chmod 0) while the bytes are in memory only.  Root puts it there all the same; others must give
 * themselves the rights for the step.  That is done under the lock, in one hold, and noted in the
 * header.  Recovery after a kill gives directories and file their modes back, so that no comparison
 * takes our modes for a change from outside. */
#ifndef VELO_CORE_RIGHTS_H
#define VELO_CORE_RIGHTS_H

#include "core/arena/layout.h"

/* All without the lock: steps in a directory. When the answer is -EACCES, the step is done again, with the rights that
 * it needs. */

/* Open (O_PATH) the directory where it is now. Not one that is renamed to its path
 * between our finding that path and the open: the caller would work on names in another directory.
 * A descriptor, -ESTALE: at its path stands another or none, made or removed by an outsider, or -errno. */
int velo_open_directory(struct velo_region *region, velo_node_id directory);
/* The same, but -ESTALE also when it was moved and has a tether (tether.h): what its path says. */
int velo_open_at_path(struct velo_region *region, velo_node_id directory);
/* `fd`, a descriptor of such a directory, becomes one to read its names; an error in `fd` is returned. */
int velo_read_directory(int fd);
int velo_probe_with_rights(struct velo_region *region, velo_node_id directory, int dirfd,
                           const char *name);
int velo_create_with_rights(struct velo_region *region, velo_node_id directory, int dirfd,
                            const char *name);
/* A file without a name in it; and the name, for the open `fd` of that. */
int velo_create_unnamed_with_rights(struct velo_region *region, velo_node_id directory, int dirfd);
int velo_name_with_rights(struct velo_region *region, velo_node_id directory, int fd, int dirfd,
                          const char *name);
int velo_unlink_with_rights(struct velo_region *region, velo_node_id directory, int dirfd,
                            const char *name);
int velo_rename_with_rights(struct velo_region *region, velo_node_id directory, int dirfd,
                            const char *from, const char *to);
/* `path` is in the directory `second`. */
int velo_link_with_rights(struct velo_region *region, velo_node_id directory, velo_node_id second,
                          const char *path, int dirfd, const char *name);
int velo_times_with_rights_locked(struct velo_region *region, velo_node_id directory,
                                  const char *path, const struct timespec times[2]);
int velo_lstat_with_rights_locked(struct velo_region *region, velo_node_id directory,
                                  const char *path, struct stat *out);
/* Without the lock: open the bytes of a regular file, in memory (VELO_ID_ARENA) or on disk, at `path`,
 * for velo itself; the ctime that is shown stays.  A descriptor or -errno, -EACCES also when the
 * caller is not its owner. */
int velo_open_file_with_rights(struct velo_region *region, velo_node_id node, unsigned which,
                               const char *path, int flags);
/* fstat while no rights are lent, so that the mode is the program's. */
int velo_fstat_unlent(struct velo_region *region, int fd, struct stat *out);
/* Under the lock, for recovery. */
void velo_rights_recover(struct velo_region *region);

#endif
