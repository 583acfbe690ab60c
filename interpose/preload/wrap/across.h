/* across.h - two names, one of which is deeper than any path says, or both outside, and so the kernel's. */
#ifndef VELO_PRELOAD_WRAP_ACROSS_H
#define VELO_PRELOAD_WRAP_ACROSS_H

/* Writes a hosted file of the two back, and makes the kernel's call. Its result; -EXDEV: a hosted name is that of no
 * regular file. */
long velo_across_rename(int fd, const char *from, int to_fd, const char *to);
long velo_across_link(int fd, const char *from, int to_fd, const char *to, int flags);
/* Both are outside. As the call; 1: `from` has no hosted directories below, and nothing was done. */
int velo_above_rename(int fd, const char *from, int to_fd, const char *to, unsigned flags);

#endif
