/* dir.h - directory streams for scandir; how structures of ours are told from libc's. */
#ifndef VELO_PRELOAD_WRAP_DIR_H
#define VELO_PRELOAD_WRAP_DIR_H

#include <dirent.h>

#include "preload/base/preload.h"

/* The stream of a directory that is ours. With *is_plain set and NULL when it is not: then open it
 * as the program asked. NULL and errno on failure. */
DIR *velo_opendir_at(int dirfd, const char *path, bool *is_plain);

/* Where libc's DIR and FTS have a descriptor, ours have this; each looks twice. */
#define VELO_NEVER_A_DESCRIPTOR (-1447382863) /* "-VELO" */
#define VELO_STREAM_MARK 0x6f6c6576u

#endif
