/* compare.h - what other files call of compare.c. */
#ifndef VELO_CORE_DISK_COMPARE_H
#define VELO_CORE_DISK_COMPARE_H

#include "core/arena/layout.h"
#include "core/disk/pass.h"

/* `directory` will be looked at, too. */
void velo_enqueue(struct velo_pass *pass, velo_node_id directory);
/* Make the namespace's `text` in `parent` what lstat says of it now. 0 or -ENOSPC. */
int velo_compare_name(struct velo_pass *pass, int dirfd, velo_node_id parent, const char *text);
/* The kernel put something else there: the same, and what memory has of the old one counts no more. Where
 * that is no directory, the name is never missing in between. */
int velo_replace_name(struct velo_pass *pass, int dirfd, velo_node_id parent, const char *text);
/* The birth time of a node that is taken in, as the disk tells it; the change time where the disk does not. */
void velo_take_birth_locked(struct velo_region *region, velo_node_id node, int at,
                            const char *name);
/* The name's file has a version in memory (or the store) that the disk has not. */
int velo_is_dirty_file(const struct velo_region *region, velo_name_id name);
/* Take the name of a file out; free the file with its last one. */
void velo_file_gone_locked(struct velo_region *region, velo_name_id name);
/* Does the namespace say of a name what the disk says? `there` is what lstat answered about it,
 * 0 or -errno; `directory` and `text` name it. */
int velo_agrees(const struct velo_region *region, velo_node_id directory, const char *text,
                size_t length, int there, const struct stat *disk);

#endif
