/* inbound_symlinks.h - what other files call of inbound_symlinks.c. */
#ifndef VELO_PRELOAD_PATH_INBOUND_SYMLINKS_H
#define VELO_PRELOAD_PATH_INBOUND_SYMLINKS_H

#include "preload/base/preload.h"

/* inbound_symlinks.c: may a symlink in this directory lead in? Looks through the directory when no process
 * did before. `directory`, from `at`, is what `stat` is of. */
bool velo_scan_outside(struct velo_region *region, int at, const char *directory,
                       const struct stat *stat);
/* Does the symlink at absolute `path`, or one that it leads to? */
bool velo_is_inbound(struct velo_region *region, const char *path);

#endif
