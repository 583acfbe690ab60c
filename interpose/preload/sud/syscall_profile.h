/* syscall_profile.h - does this program, or this file, make system calls that name files, without
   libc? */
#ifndef VELO_PRELOAD_SYSCALL_PROFILE_H
#define VELO_PRELOAD_SYSCALL_PROFILE_H

#include "preload/base/preload.h"

/* Of all that is loaded now. */
enum velo_profile velo_profile_of_process(struct velo_region *region);
/* Of a shared object on disk. One stat when it is known. */
enum velo_profile velo_profile_of_file(struct velo_region *region, const char *path);

#endif
