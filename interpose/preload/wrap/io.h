/* io.h - what other files call of io.c. */
#ifndef VELO_PRELOAD_WRAP_IO_H
#define VELO_PRELOAD_WRAP_IO_H

#include "preload/base/preload.h"

/* Before `fd` is closed, and after: the last writer of a file that an opaque program may look at puts the
 * file. The node to tell of, or none. */
velo_node_id velo_closing(int fd);
void velo_closed(velo_node_id node);

/* `fd` is about to be moved by an `offset` that is larger than this: 0, or -EINVAL as its disk would say (far.h). */
#define VELO_FAR_STEP_BYTES (1ll << 40)
int velo_seeks_far(int fd, off_t offset, int whence);

/* `duplicate` is one of `fd`, or -errno; returned. */
long velo_inherits_credit(int fd, long duplicate);

#endif
