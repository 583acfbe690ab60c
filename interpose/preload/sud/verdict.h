/* verdict.h - does this program, or this file, make system calls that name files, without libc? */
#ifndef VELO_PRELOAD_VERDICT_H
#define VELO_PRELOAD_VERDICT_H

#include "preload/base/preload.h"

/* Of all that is loaded now. */
enum velo_verdict velo_verdict_of_process(struct velo_region *region);
/* Of a shared object on disk. One stat when it is known. */
enum velo_verdict velo_verdict_of_file(struct velo_region *region, const char *path);

#endif
