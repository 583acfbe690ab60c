/* across.h - two names, one of which is deeper than any path says, and so the kernel's. */
#ifndef VELO_PRELOAD_WRAP_ACROSS_H
#define VELO_PRELOAD_WRAP_ACROSS_H

/* The other, if it is a hosted file, is written back, and the kernel does it. As the call; -EXDEV of what is no file. */
long velo_across_rename(int fd, const char *from, int to_fd, const char *to);
long velo_across_link(int fd, const char *from, int to_fd, const char *to, int flags);

#endif
