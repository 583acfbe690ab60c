/* claim.h - the one question of every wrapper: is this path ours?
 *
 * In    what the program named: a directory descriptor and a text
 * Out   a place for the core, or "not ours": make the program's own call
 * Never a system call for an absolute path, but one stat for each directory outside (outside.h); for
 *       a relative one only when the working directory is not known yet. */
#ifndef VELO_PRELOAD_CLAIM_H
#define VELO_PRELOAD_CLAIM_H

#include "magic_links.h"
#include "preload/base/pointers.h"
#include "preload/base/preload.h"

enum velo_claimed {
    VELO_NOT_OURS = 0, /* the place is not filled */
    VELO_OURS = 1,     /* hosted; the name itself may be missing */
};

/* One of the above, or a negative errno that is the call's answer.
 * walk_flags  0 or VELO_WALK_NOFOLLOW, as the call treats a symlink at the end */
int velo_claim(int dirfd, const char *path, unsigned walk_flags, struct velo_place *place);

/* A call on one name, as the body of a function: `plain` is the program's own call, `hosted` the core's on
 * `place`. */
#define ONE_NAME(dirfd, path, walk, plain, hosted)                                                 \
    struct velo_place place;                                                                       \
    const int claimed = velo_claim(dirfd, path, walk, &place);                                     \
    if (claimed == VELO_NOT_OURS)                                                                  \
        return plain;                                                                              \
    return claimed < 0 ? claimed : hosted

/* The place of any path, outside too, for calls of which another path is ours. 0 or -errno. */
int velo_resolve(int dirfd, const char *path, unsigned walk_flags, struct velo_place *place);

/* The text of `path` from the root on; ".." and symlinks as they stand. Its length or -errno. */
long velo_absolute_text(int dirfd, const char *path, char text[PATH_MAX]);

/* The working directory is, or may be, another one now. */
void velo_cwd_changed(void);
/* The working directory may change without our seeing it from now on: ask the kernel each time. */
void velo_cwd_unknowable(void);

static inline bool velo_is_empty(const char *path)
{
    return !velo_cannot_read(path, 1) && path[0] == 0;
}

/* "" with AT_EMPTY_PATH and no descriptor is the working directory. */
static inline const char *velo_or_cwd(int dirfd, const char *path, int at_flags)
{
    const bool cwd = dirfd == AT_FDCWD && velo_is_empty(path);
    return cwd && (at_flags & AT_EMPTY_PATH) != 0 ? "." : path;
}

static inline unsigned velo_walk_flags(int at_flags)
{
    return (at_flags & AT_SYMLINK_NOFOLLOW) != 0 ? VELO_WALK_NOFOLLOW : 0;
}
/* claim.c: can absolute `text` lead to a hosted directory, as it stands? */
bool velo_may_reach_hosted(const struct velo_region *region, const char *text);

#endif
