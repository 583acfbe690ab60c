/* inside.h - files that libc is about to read by calls of its own. */
#ifndef VELO_PRELOAD_WRAP_INSIDE_H
#define VELO_PRELOAD_WRAP_INSIDE_H

#include "preload/base/preload.h"

/* Is it where packages put files that only they change? */
bool velo_is_of_the_system(const char *path);
/* libc reads `path`, if that is there: the disk has it in its present version then, and the unit knows. NULL: none. */
void velo_libc_reads(const char *path);

#endif
