/* fifo.h - what other files call of fifo.c. */
#ifndef VELO_PRELOAD_PROGRAM_FIFO_H
#define VELO_PRELOAD_PROGRAM_FIFO_H

#include "preload/base/preload.h"

/* fifo.c: `fd` is what stands at `path`, which may be a FIFO; that was opened outside of hosted directories; one
 * was made there. Keep errno. */
void velo_fifo_opened(int fd, const char *path);
void velo_maybe_fifo_opened(int fd, const char *path, int flags);
void velo_fifo_made(const char *path);

#endif
