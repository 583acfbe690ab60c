/* whole.h - part of velo.h, which includes it: a file that is nowhere to be seen before it is whole.
 *
 * In    a place where nothing is
 * Out   a descriptor to write to, then the file, with mode, time and name
 * Never a file in memory beyond max_memory: -EXDEV then, and where the residency of a new file is another. It is made
 *       by velo_open there */
#ifndef VELO_CORE_WHOLE_H
#define VELO_CORE_WHOLE_H

struct velo_whole {
    int fd;
    velo_node_id node;
    uint32_t generation;
    uint64_t version; /* after `end` */
    struct stat stat; /* mode, owner and times as a stat after `end` finds them; no size */
};

/* 0 and whole->fd to write `bytes` bytes to, or -errno. Then one of the others, which closes it. */
int velo_whole_begin(struct velo_region *region, const struct velo_place *place, mode_t mode,
                     uint64_t bytes, struct velo_whole *whole);
/* 0, or -errno and no file: -EEXIST when something is there by now. */
int velo_whole_end(struct velo_region *region, const struct velo_place *place,
                   struct velo_whole *whole, mode_t mode, int64_t mtime_ns);
void velo_whole_abandon(struct velo_whole *whole);

#endif
