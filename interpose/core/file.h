/* file.h - steps of opening and copying files that other parts of the core use too. */
#ifndef VELO_CORE_FILE_H
#define VELO_CORE_FILE_H

#include "layout.h"
#include "snapshot.h"

enum {
    VELO_AGAIN = -6000,  /* the node changed under us: look again */
    VELO_DEEPER = -6001, /* of a rename: something below would be out of reach of any path */
};

/* holders.c: whoever has `file` open, as /proc spells it. `see` is told whether it is this process, and
 * the descriptor; what it returns ends the search when not 0, and is the result. -errno: a process
 * that may have it cannot be looked into. */
typedef int (*velo_holder)(void *context, int self, int fd);
int velo_holders(const struct velo_region *region, const char *file, velo_holder see,
                 void *context);
/* Whether the file is open by any other descriptor than `fd`, be it by O_PATH. */
int velo_somebody_has(const struct velo_region *region, int fd);
/* Note whether the directory at `path` has a default ACL (VELO_NODE_ACL). */
void velo_default_acl_look(struct velo_region *region, uint32_t directory, const char *path);
/* Names outside hosted directories share a DISK file, of which `disk` is: what is written must reach
 * them, too. */
int velo_has_outside_names(const struct velo_region *region, uint32_t node,
                           const struct stat *disk);
/* A name that does not exist yet, opened with O_CREAT: a descriptor, VELO_AGAIN or -errno. */
int velo_create(struct velo_region *region, struct velo_place *place, int flags, mode_t mode);
/* The same by mknod, at its real path: nothing is opened. 0 or -errno. */
int velo_make_on_disk(struct velo_region *region, struct velo_place *place, mode_t mode);
/* follow.c: the disk's copy, `text` in `dirfd`, was changed in place from outside, and somebody has the file
 * in memory open: its bytes and attributes become the same. 0, -EBUSY (it changes in memory, too) or
 * -errno. */
int velo_follow_disk(struct velo_region *region, uint32_t node, int dirfd, const char *text);
/* border.c: the next node after `after` that has a name below `directory` and is not on disk as it is
 * now: somebody writes it, or the disk refused it. 0 when there is none. */
uint32_t velo_next_left(struct velo_region *region, uint32_t directory, uint32_t after);
/* Put the regular file at `place` as it is now, loaded first if need be; of other things there is nothing
 * to put. As velo_put. */
int velo_put_place(struct velo_region *region, struct velo_place *place);
/* The kernel's inode of a node that is not in memory is another now, or has other links. */
void velo_unbacked_changed(struct velo_region *region, uint32_t node, int times);
/* Walk place's own path once more: after somebody changed the tree. */
int velo_walk_again(struct velo_region *region, unsigned flags, struct velo_place *place);
/* Under the lock: place->path as it is now; an ancestor may have been renamed since the walk. */
int velo_fresh_path(struct velo_region *region, struct velo_place *place);
/* Whether exec or dlopen may want a file of this name and mode at its real path. */
int velo_looks_like_program(const char *name, size_t length, mode_t mode);
/* Before a file that holds `bytes` grows: 0, or -ENOSPC: memory is full and nobody made room in time. */
int velo_space_for_open(struct velo_region *region, uint32_t shard, uint64_t bytes);

#endif
