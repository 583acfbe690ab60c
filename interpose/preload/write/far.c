/* far.c - where the disk's largest file ends.  See far.h. */
#include <fcntl.h>
#include <string.h>

#include "far.h"
#include "preload/base/raw.h"
#include "relocate.h"

/* The file's directory is gone, too: a hosted one that is there. */
static long tmpfile_anywhere(struct velo_region *region)
{
    long fd = -ENOENT;
    for (uint32_t i = 0; fd < 0 && i < velo_root_count(region); i++) {
        const char *root = velo_root_path(region, i);
        if (root != NULL)
            fd = raw_openat(AT_FDCWD, root, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    }
    return fd;
}

__attribute__((noinline)) long velo_tmpfile_above(struct velo_region *region, velo_node_id node)
{
    char path[PATH_MAX];
    long fd = -ENOENT;
    bool denied = false;
    if (velo_path_of(region, node, path) < 0 && velo_last_path_of(region, node, path) < 0)
        return tmpfile_anywhere(region);
    for (char *end; fd < 0 && (end = strrchr(path, '/')) != NULL && end > path;) {
        *end = 0;
        fd = raw_openat(AT_FDCWD, path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        denied = denied || fd == -EACCES;
    }
    if (fd < 0 && denied) { /* an owner may give itself the right, for a moment */
        const velo_node_id parent = velo_parent_of(region, node);
        if (velo_path_of(region, parent, path) > 0)
            fd = velo_tmpfile_with_rights(region, parent, path);
    }
    return fd;
}

/* The last offset to which the kernel seeks in `fd`, found by halves. */
static off_t last_offset(int fd)
{
    off_t taken = 0, refused = INT64_MAX;
    if (velo_sys3(SYS_lseek, fd, INT64_MAX, SEEK_SET) >= 0)
        return INT64_MAX;
    while (refused - taken > 1) {
        const off_t middle = taken + (refused - taken) / 2;
        if (velo_sys3(SYS_lseek, fd, middle, SEEK_SET) >= 0)
            taken = middle;
        else
            refused = middle;
    }
    return taken;
}

_Atomic bool velo_stands_far;

off_t velo_longest(int fd, off_t end)
{
    struct stat stat;
    struct velo_region *region = velo_here();
    if (end <= VELO_FAR_BYTES || region == NULL || raw_fstat(fd, &stat) != 0 ||
        !S_ISREG(stat.st_mode))
        return INT64_MAX;
    const velo_node_id node = velo_node_of(region, &stat);
    if (!velo_is_node(node) || velo_relocate_descriptor(fd, node) == 0)
        return INT64_MAX;
    const long disk = velo_tmpfile_above(region, node);
    if (disk < 0) /* nowhere to ask */
        return INT64_MAX;
    const off_t longest = last_offset((int)disk);
    raw_close((int)disk);
    atomic_store_explicit(&velo_stands_far, true, memory_order_relaxed);
    return longest;
}

off_t velo_longest_by(int fd, off_t end)
{
    const long flags = end > VELO_FAR_BYTES ? velo_sys3(SYS_fcntl, fd, F_GETFL, 0) : 0;
    return flags < 0 || (flags & O_ACCMODE) == O_RDONLY ? INT64_MAX : velo_longest(fd, end);
}
