/* descriptors.h - the descriptors of this process that lead to one file in memory lead to the disk (descriptors.c). */
#ifndef VELO_PRELOAD_WRITE_DESCRIPTORS_H
#define VELO_PRELOAD_WRITE_DESCRIPTORS_H

#include "aside.h"
#include "gate.h"
#include "preload/base/preload.h"

#define VELO_DESCRIPTORS_MAX 64u

struct velo_descriptors { /* mapped: the caller may have a 64 KiB stack */
    char file[PATH_MAX], link[PATH_MAX], maps[1u << 16];
    int ours[VELO_DESCRIPTORS_MAX];
    unsigned count, paths; /* those to read or write by, from the front; O_PATH, from the back */
    uint64_t device, inode; /* of the file in memory */
    velo_node_id parked; /* the node that this process says to wait for, or none */
    unsigned met; /* descriptors of other processes, which have not stepped aside */
    struct {
        uint32_t pid;
        int fd;
    } others[VELO_DESCRIPTORS_MAX];
    struct velo_aside aside;
};

/* `fd` is one of the file's. False: it has too many. */
bool velo_descriptors_note(struct velo_descriptors *s, int fd);
bool velo_descriptors_is_mapped(struct velo_descriptors *s);
/* Gives up those from the `from`th on for a while (aside.h). */
bool velo_descriptors_aside(struct velo_region *region, velo_node_id node,
                            struct velo_descriptors *s, unsigned from);
/* The descriptors in `s` are all that there are of the file: it goes to the disk, and they go with it.
 * 0; -EBUSY another process has it; -ENOSPC, -ENOENT or -errno of the disk. Nothing changed then. */
int velo_descriptors_relocate(struct velo_region *region, velo_node_id node,
                              struct velo_descriptors *s);

#endif
