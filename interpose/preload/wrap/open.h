/* open.h - opening by the same rules from other wrappers: fopen, mkstemp, syscall. */
#ifndef VELO_PRELOAD_WRAP_OPEN_H
#define VELO_PRELOAD_WRAP_OPEN_H

#include "preload/path/claim.h"

/* Open a hosted place, walked with velo_open_walk_flags. A descriptor or -errno. */
int velo_open_hosted(struct velo_place *place, int flags, mode_t mode);

/* Opens a thing on disk, a directory or a FIFO, at a hosted place. A descriptor or -errno. */
int velo_open_standing(const struct velo_place *place, int flags, mode_t mode);

/* wrap/openat2.c: as syscall(2) returns it. */
struct open_how;

/* How open treats a symlink at the end. */
static inline unsigned velo_open_walk_flags(int flags)
{
    const bool exclusive = (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL);
    return ((flags & O_NOFOLLOW) != 0 || exclusive ? VELO_WALK_NOFOLLOW : 0) |
           ((flags & O_CREAT) != 0 ? VELO_WALK_LAST : 0);
}
/* Before `path` is opened, which is `place`, or (NULL) not ours: with O_EXCL where nothing is yet that O_CREAT would
 * find, for that is what a step must find again. Only what is written down sees these flags. */
int velo_flags_as_seen(int dirfd, const char *path, int flags, const struct velo_place *place);

#endif
