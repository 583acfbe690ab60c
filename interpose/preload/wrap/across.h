/* across.h - two names, one of which is deeper than any path says, and so the kernel's. */
#ifndef VELO_PRELOAD_WRAP_ACROSS_H
#define VELO_PRELOAD_WRAP_ACROSS_H

/* Writes a hosted file of the two back, and makes the kernel's call. Its result; -EXDEV: a hosted name is that of no
 * regular file. */
long velo_across_rename(int fd, const char *from, int to_fd, const char *to);
long velo_across_link(int fd, const char *from, int to_fd, const char *to, int flags);

#endif
