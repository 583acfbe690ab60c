/* lock.h - what other files call of lock.c. */
#ifndef VELO_PRELOAD_WRAP_LOCK_H
#define VELO_PRELOAD_WRAP_LOCK_H

#include "preload/base/preload.h"

/* `fd` is about to be locked. If it is a file in memory it goes to the disk. Keeps errno. */
void velo_before_lock(int fd);

#endif
