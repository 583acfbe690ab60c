/* far.h - offsets where few disks have files. Memory goes on there, and what is written could not be put on
 * disk: so the disk answers.
 *
 * The file goes to its real path (relocate.c). One that cannot, since processes share it, is mapped, or is
 * open elsewhere, stays, and velo answers as the disk would. */
#ifndef VELO_PRELOAD_FAR_H
#define VELO_PRELOAD_FAR_H

#include "preload/base/preload.h"

#define VELO_FAR_BYTES (8ll << 40)

/* `fd` is about to have bytes up to `end`, or to stand there. How long its file may be, where velo has to say so
 * in the kernel's place; else INT64_MAX. */
off_t velo_longest(int fd, off_t end);
/* It had to, of some file: a descriptor of this process may stand where its disk has no more. */
extern _Atomic bool velo_stands_far;
/* The same of a descriptor by which the file is made longer: the kernel first asks whether it may write. */
off_t velo_longest_by(int fd, off_t end);

/* An empty file on the disk of `node`, in the nearest directory above that lets us; or -errno. */
long velo_tmpfile_above(struct velo_region *region, velo_node_id node);

#endif
