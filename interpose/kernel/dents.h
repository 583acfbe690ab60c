/* dents.h - an entry of a directory as getdents64(2) writes it: struct linux_dirent64, which no header of
 * the kernel's has for programs. */
#ifndef VELO_KERNEL_DENTS_H
#define VELO_KERNEL_DENTS_H

#include <stdint.h>

struct velo_dent {
    uint64_t inode;
    int64_t next;
    uint16_t record_bytes;
    unsigned char type;
    char name[];
};

/* The entry at `*at` of what the kernel wrote; *at becomes the next one's place. */
static inline const struct velo_dent *velo_next_dent(const void *buffer, long *at)
{
    const struct velo_dent *dent = (const void *)((const char *)buffer + *at);
    *at += dent->record_bytes;
    return dent;
}

#endif
