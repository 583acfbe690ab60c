/* open_files.h - the processes that have a file open (open_files.c). */
#ifndef VELO_CORE_OPEN_FILES_H
#define VELO_CORE_OPEN_FILES_H

#include "core/velo.h"

/* Whether the file is open by any other descriptor than `fd`, be it by O_PATH. */
int velo_somebody_has(const struct velo_region *region, int fd);

#endif
