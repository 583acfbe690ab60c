/* mount.c - mount, umount and the newer calls for the same: the core hears of each, before and
 * after (mounts.c).
 *
 * libc knows the newer ones since 2.36; programs with an older one make them by number. */
#include <sys/mount.h>

#include "kernel/os.h"
#include "preload/base/preload.h"
#include "preload/base/raw.h"
#include "preload/path/claim.h"
#include "preload/program/environment.h"

#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE 1
#endif
#define RECONFIGURE 7 /* a command of fsconfig: what is mounted becomes read-only, for instance */
#define BUSY_TRIES 100
#define BUSY_NS 2000000
#define PROPAGATION (MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE)

/* A macro, because the calls have different numbers of arguments. */
#define TOLD(call)                                                                                 \
    ({                                                                                             \
        struct velo_region *region_ = velo_has_left() ? NULL : velo_here();                        \
        if (region_ != NULL)                                                                       \
            velo_mount_begin(region_);                                                             \
        const long rc_ = call;                                                                     \
        if (region_ != NULL)                                                                       \
            velo_mount_end(region_);                                                               \
        (int)velo_answer(rc_);                                                                     \
    })

EXPORT int mount(const char *source, const char *target, const char *type, unsigned long flags,
                 const void *data)
{
    if ((flags & PROPAGATION) != 0) /* changes nothing that is seen */
        return (int)velo_answer(velo_sys5(SYS_mount, velo_word(source), velo_word(target),
                                          velo_word(type), flags, velo_word(data)));
    return TOLD(velo_sys5(SYS_mount, velo_word(source), velo_word(target), velo_word(type), flags,
                          velo_word(data)));
}

/* A shard that looks at a file there has it open for a moment, which natively no process does. */
static long unmount(const char *target, int flags)
{
    const struct velo_region *region = velo_here();
    const bool may_be_ours = region != NULL && velo_has_second_names(region);
    for (int tries = may_be_ours ? BUSY_TRIES : 0;; tries--) {
        const long rc = velo_sys2(SYS_umount2, velo_word(target), flags);
        if (rc != -EBUSY || tries <= 0)
            return rc;
        velo_os_pause(BUSY_NS);
    }
}

EXPORT int umount2(const char *target, int flags)
{
    return TOLD(unmount(target, flags));
}

EXPORT int umount(const char *target)
{
    return umount2(target, 0);
}

int open_tree(int dirfd, const char *path, unsigned flags);
int move_mount(int from_dirfd, const char *from, int to_dirfd, const char *to, unsigned flags);
int fsconfig(int fd, unsigned command, const char *key, const void *value, int aux);
int mount_setattr(int dirfd, const char *path, unsigned flags, struct mount_attr *attr,
                  size_t size);

/* Without a copy of the mount it is an open of what the path leads to, which we find. The kernel judges the flags,
 * by an empty path. */
EXPORT int open_tree(int dirfd, const char *path, unsigned flags)
{
    if ((flags & OPEN_TREE_CLONE) != 0)
        return TOLD(velo_sys3(SYS_open_tree, dirfd, velo_word(path), flags));
    const unsigned named = flags & ~(unsigned)AT_EMPTY_PATH;
    if ((named != flags && velo_is_empty(path)) ||
        velo_sys3(SYS_open_tree, dirfd, velo_word(""), named) != -ENOENT)
        return (int)velo_answer(velo_sys3(SYS_open_tree, dirfd, velo_word(path), flags));
    const int nofollow = (flags & AT_SYMLINK_NOFOLLOW) != 0 ? O_NOFOLLOW : 0;
    const int found = openat(dirfd, path, O_PATH | O_CLOEXEC | nofollow);
    if (found < 0)
        return -1;
    const long rc = velo_sys3(SYS_open_tree, found, velo_word(""), flags | AT_EMPTY_PATH);
    raw_close(found);
    return (int)velo_answer(rc);
}

EXPORT int move_mount(int from_dirfd, const char *from, int to_dirfd, const char *to,
                      unsigned flags)
{
    return TOLD(
        velo_sys5(SYS_move_mount, from_dirfd, velo_word(from), to_dirfd, velo_word(to), flags));
}

EXPORT int fsconfig(int fd, unsigned command, const char *key, const void *value, int aux)
{
    if (command == RECONFIGURE)
        return TOLD(velo_sys5(SYS_fsconfig, fd, command, velo_word(key), velo_word(value), aux));
    return (int)velo_answer(
        velo_sys5(SYS_fsconfig, fd, command, velo_word(key), velo_word(value), aux));
}

EXPORT int mount_setattr(int dirfd, const char *path, unsigned flags, struct mount_attr *attr,
                         size_t size)
{
    return TOLD(velo_sys5(SYS_mount_setattr, dirfd, velo_word(path), flags, velo_word(attr), size));
}
