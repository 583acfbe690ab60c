/* xattr.h - extended attributes by the calls of newer kernels. */
#ifndef VELO_PRELOAD_XATTR_H
#define VELO_PRELOAD_XATTR_H

#include <stddef.h>

/* setxattrat, getxattrat, listxattrat or removexattrat, with its arguments in their order: of listxattrat the names'
 * room and its size are the last two. */
long velo_xattr_at(long number, int dirfd, const char *path, unsigned flags, const void *fourth,
                   const void *fifth, size_t size);

#endif
