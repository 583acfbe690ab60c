/* outside.h - paths whose text stays outside, and whose symlinks may lead into a hosted directory. */
#ifndef VELO_PRELOAD_OUTSIDE_H
#define VELO_PRELOAD_OUTSIDE_H

#include "claim.h"

/* As velo_claim, for a path that leads to no hosted directory by its text.
 * at    what a relative `path` starts from; AT_FDCWD is not asked, the text is absolute then
 * seed  tells apart relative paths of different directories */
int velo_claim_outside(struct velo_region *region, int at, const char *path, uint64_t seed,
                       unsigned flags, struct velo_place *place);

/* The same for a name in a directory outside, which `fd` is open on and `stat` is of. */
int velo_claim_entry(struct velo_region *region, int fd, const struct stat *stat, const char *name,
                     unsigned flags, struct velo_place *place);

/* Does the text go up after a component that may be a symlink? Then only the kernel knows where. */
bool velo_goes_up_inside(const char *path);
/* For such a text: the kernel's answer about the directory that holds the last component. VELO_OURS,
 * VELO_NOT_OURS, or -errno: there is none, of which the reason may be a file that it cannot see. */
int velo_claim_by_directory(struct velo_region *region, const char *path, unsigned flags,
                            struct velo_place *place);

/* A symlink was made outside; something was renamed there, perhaps one. */
void velo_link_made(struct velo_region *region, int dirfd, const char *path);
void velo_link_moved(struct velo_region *region, const char *from, int to_fd, const char *to);

/* Where the last component begins; a slash at the end belongs to it. */
size_t velo_last_of(const char *path);

#endif
