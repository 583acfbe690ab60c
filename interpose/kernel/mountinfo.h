/* mountinfo.h - the mounts that a process sees, as /proc/self/mountinfo tells. */
#ifndef VELO_CORE_MOUNTINFO_H
#define VELO_CORE_MOUNTINFO_H

#include <stddef.h>
#include <stdint.h>

struct velo_mount {
    uint32_t id, parent;
    uint64_t device;
    const char *root;  /* what of the file system is shown: "" for all of it, else "/dir" */
    const char *point; /* where: "" for "/" */
    size_t root_length, point_length;
    const char *type, *source, *options; /* options of the file system, not of the mount */
};

#define VELO_MOUNTS_MAX 8192u
#define VELO_MOUNTS_BYTES (2u << 20) /* untouched pages of it cost nothing */

struct velo_mounts {
    uint32_t count;
    int cut; /* there are more than fit */
    struct velo_mount all[VELO_MOUNTS_MAX];
    char text[VELO_MOUNTS_BYTES];
};

/* Mapped, for velo_mounts_free; NULL: the table cannot be read. */
struct velo_mounts *velo_mounts_read(void);
void velo_mounts_free(struct velo_mounts *mounts);
/* The one that a walk to `path` ends in, or NULL: it is not listed (chroot). */
const struct velo_mount *velo_mount_of(const struct velo_mounts *mounts, const char *path,
                                       size_t length);
/* `path` is `above`, or below it; both without a slash at the end. */
int velo_text_is_below(const char *path, size_t length, const char *above, size_t above_length);

#endif
