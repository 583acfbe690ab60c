/* dents.h - an entry of a directory as getdents64(2) writes it: struct linux_dirent64, which no header of
 * the kernel's has for programs. */
#ifndef VELO_KERNEL_DENTS_H
#define VELO_KERNEL_DENTS_H

#include <stddef.h>
#include <stdint.h>

#include "sys.h"

struct velo_dent {
    uint64_t inode;
    int64_t next;
    uint16_t record_bytes;
    unsigned char type;
    char name[];
};

/* The entries of an open directory, one after the other. */
struct velo_dents {
    int fd;
    void *buffer; /* of `size` bytes, aligned to 8 */
    size_t size;
    long at, got; /* in it; at the end, `got` is 0 or -errno */
};

/* NULL behind the last. */
static inline const struct velo_dent *velo_dents_next(struct velo_dents *of)
{
    if (of->at >= of->got) {
        of->at = 0;
        of->got = velo_sys3(SYS_getdents64, of->fd, velo_word(of->buffer), of->size);
        if (of->got <= 0)
            return NULL;
    }
    const struct velo_dent *dent = (const void *)((const char *)of->buffer + of->at);
    of->at += dent->record_bytes;
    return dent;
}

#endif
