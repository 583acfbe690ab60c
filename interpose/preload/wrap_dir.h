/* wrap_dir.h - directory streams for scandir, glob and the tree walkers of libc. */
#ifndef VELO_PRELOAD_WRAP_DIR_H
#define VELO_PRELOAD_WRAP_DIR_H

#include <dirent.h>

#include "preload.h"

/* The stream of a directory that is ours. With *is_plain set and NULL when it is not: then open it
 * as the program asked. NULL and errno on failure. */
DIR *velo_opendir_at(int dirfd, const char *path, bool *is_plain);

/* Everything on disk, for a reader who will look there himself. Counted as an escape. */
void velo_put_tree(struct velo_region *region);

#endif
