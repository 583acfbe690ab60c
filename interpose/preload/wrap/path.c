/* path.c - where a name leads: readlink, and the working directory.
 *
 * Hosted directories stand on disk, so chdir and getcwd are the kernel's; we only forget what we
 * knew. */
#include <linux/nsfs.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "preload/path/claim.h"
#include "preload/base/raw.h"
#include "preload/replay/unit.h"
#include "preload/program/sandbox.h"
#include "dir.h"

/* ---- readlink -------------------------------------------------------------------------------- */

#define GONE " (deleted)" /* what the kernel adds to the last name of a file that has none */

static long path_or_last_path(struct velo_region *region, velo_node_id node, char path[PATH_MAX])
{
    const long found = velo_path_of(region, node, path);
    if (found != -ENOENT)
        return found;
    const long last = velo_last_path_of(region, node, path);
    if (last < 0 || last + (long)sizeof GONE > PATH_MAX)
        return -ENOENT;
    memcpy(path + last, GONE, sizeof GONE);
    return last + (long)sizeof GONE - 1;
}

/* The kernel names a hosted file's descriptor by its place in the arena; programs want the path. The
 * length of that, or -errno: leave the kernel's answer. */
__attribute__((noinline)) static long translate(struct velo_region *region, int dirfd,
                                                const char *link, char *out, size_t size)
{
    char path[PATH_MAX];
    struct stat stat;
    const size_t prefix = strlen(region->directory);
    const long length = raw_readlink(dirfd, link, path, sizeof path);
    if (length <= (long)prefix || memcmp(path, region->directory, prefix) != 0 ||
        raw_statat(dirfd, link, &stat, 0) != 0)
        return -ENOENT;
    const velo_node_id node = velo_node_of(region, &stat);
    const long found = velo_is_node(node) ? path_or_last_path(region, node, path) : -ENOENT;
    if (found < 0)
        return found;
    const size_t count = (size_t)found < size ? (size_t)found : size;
    memcpy(out, path, count);
    return (long)count;
}

/* The kernel's answer: `length` bytes, or -errno. */
static long readlink_plain(long length, int dirfd, const char *path, char *out, size_t size)
{
    struct velo_region *region = length > 0 ? velo_here() : NULL;
    if (region == NULL)
        return length;
    const size_t prefix = strlen(region->directory);
    const size_t seen = (size_t)length < prefix ? (size_t)length : prefix; /* it may be cut short */
    if (memcmp(out, region->directory, seen) != 0)
        return length;
    const long found = translate(region, dirfd, path, out, size);
    return found < 0 ? length : found;
}

/* Programs say PATH_MAX of buffers that are shorter: what counts is the room that the text takes. */
__attribute__((noinline)) static long readlink_through(struct velo_place *place, char *out,
                                                       size_t size)
{
    char text[PATH_MAX];
    const long length =
        velo_readlink(velo_here(), place, text, size < sizeof text ? size : sizeof text);
    if (length > 0 && velo_cannot_write(out, (size_t)length))
        return -EFAULT;
    if (length > 0)
        memcpy(out, text, (size_t)length);
    return length;
}

static long readlink_hosted(struct velo_place *place, char *out, size_t size)
{
    if (size == 0)
        return -EINVAL;
    if (velo_cannot_write(out, size < PATH_MAX ? size : PATH_MAX))
        return readlink_through(place, out, size);
    return velo_readlink(velo_here(), place, out, size);
}

static long seen_link(int dirfd, const char *path, const char *out, size_t size, long length)
{
    char text[PATH_MAX];
    if (__builtin_expect(velo_unit == NULL, 1))
        return length;
    if (length <= 0 || (size_t)length >= sizeof text || (size_t)length == size) {
        velo_saw_now(length > 0 ? VELO_RECORD_ERROR : VELO_RECORD_LINK, 0, dirfd, path, length);
        return length;
    }
    memcpy(text, out, (size_t)length);
    text[length] = 0;
    velo_saw_two(VELO_RECORD_LINK, dirfd, path, AT_FDCWD, text);
    return length;
}

static long readlink_at(int dirfd, const char *path, char *out, size_t size)
{
    struct velo_place place;
    const int claimed = velo_claim(dirfd, path, VELO_WALK_NOFOLLOW, &place);
    const long length =
        claimed == VELO_NOT_OURS
            ? readlink_plain(raw_readlink(dirfd, path, out, size), dirfd, path, out, size)
        : claimed < 0 ? claimed
                      : readlink_hosted(&place, out, size);
    return seen_link(dirfd, path, out, size, length);
}

static long readlink_name(const char *path, char *out, size_t size)
{
    struct velo_place place;
    const int claimed = velo_claim(AT_FDCWD, path, VELO_WALK_NOFOLLOW, &place);
    const long length = claimed == VELO_NOT_OURS ? readlink_plain(old_readlink(path, out, size),
                                                                  AT_FDCWD, path, out, size)
                        : claimed < 0            ? claimed
                                                 : readlink_hosted(&place, out, size);
    return seen_link(AT_FDCWD, path, out, size, length);
}

EXPORT ssize_t readlink(const char *path, char *out, size_t size)
{
    return velo_answer(readlink_name(path, out, size));
}

EXPORT ssize_t readlinkat(int dirfd, const char *path, char *out, size_t size)
{
    return velo_answer(readlink_at(dirfd, path, out, size));
}

ssize_t __readlink_chk(const char *path, char *out, size_t size, size_t room);
ssize_t __readlinkat_chk(int dirfd, const char *path, char *out, size_t size, size_t room);

EXPORT ssize_t __readlink_chk(const char *path, char *out, size_t size, size_t room)
{
    return size > room ? NEXT(__readlink_chk)(path, out, size, room) : readlink(path, out, size);
}

EXPORT ssize_t __readlinkat_chk(int dirfd, const char *path, char *out, size_t size, size_t room)
{
    return size > room ? NEXT(__readlinkat_chk)(dirfd, path, out, size, room)
                       : readlinkat(dirfd, path, out, size);
}

/* ---- the working directory ------------------------------------------------------------------- */

static long changed(long rc)
{
    if (rc == 0)
        velo_cwd_changed();
    return rc;
}

EXPORT int chdir(const char *path)
{
    char text[PATH_MAX];
    const bool told = __builtin_expect(velo_unit != NULL, 0) && !velo_cannot_read_text(path);
    const long length = told ? velo_absolute_text(AT_FDCWD, path, text) : 0;
    long rc = changed(velo_sys1(SYS_chdir, velo_word(path)));
    struct velo_place place;
    const int claimed = rc == -ENOENT ? velo_claim(AT_FDCWD, path, 0, &place) : VELO_NOT_OURS;
    if (claimed < 0 || (claimed == VELO_OURS && place.at.type == VELO_REGULAR))
        rc = claimed < 0 ? claimed : -ENOTDIR; /* what is in the way lives in memory only */
    if (told)
        velo_saw_entered(path, text, length, rc);
    return (int)velo_answer(rc);
}

EXPORT int fchdir(int fd)
{
    return (int)velo_answer(changed(velo_sys1(SYS_fchdir, fd)));
}

/* libc's changes to "/" by a hidden call. */
EXPORT int daemon(int stay, int keep_open)
{
    const int rc = NEXT(daemon)(stay, keep_open);
    velo_cwd_changed();
    return rc;
}

/* A thread gets a working directory of its own: one for the process is no longer true. */
EXPORT int unshare(int flags)
{
    velo_taint(VELO_TAINT_LEFT);
    const int was = velo_is_another_view((unsigned)flags) ? velo_step_begin() : VELO_OFF;
    if ((flags & (CLONE_FS | CLONE_NEWNS | CLONE_NEWUSER)) != 0)
        velo_cwd_unknowable();
    const long rc = velo_sys1(SYS_unshare, flags);
    velo_step_end(was, rc);
    return (int)velo_answer(rc);
}

/* 0: whatever namespace `fd` is. */
static bool enters_another_view(int fd, int type)
{
    const long is = type != 0 ? type : velo_sys3(SYS_ioctl, fd, NS_GET_NSTYPE, 0);
    return is < 0 || velo_is_another_view((unsigned)is);
}

EXPORT int setns(int fd, int type)
{
    velo_taint(VELO_TAINT_LEFT);
    const int was = enters_another_view(fd, type) ? velo_step_begin() : VELO_OFF;
    const long rc = velo_sys2(SYS_setns, fd, type);
    if (rc == 0)
        velo_cwd_unknowable();
    velo_step_end(was, rc);
    return (int)velo_answer(rc);
}

/* Below another root the same text means something else. "/" is not another one. */
EXPORT int chroot(const char *path)
{
    velo_taint(VELO_TAINT_LEFT);
    const bool same = velo_cannot_read_text(path) || strcmp(path, "/") == 0;
    const int was = same ? VELO_OFF : velo_step_begin();
    const long rc = changed(velo_sys1(SYS_chroot, velo_word(path)));
    velo_step_end(was, rc);
    return (int)velo_answer(rc);
}

int pivot_root(const char *root, const char *old);

EXPORT int pivot_root(const char *root, const char *old)
{
    velo_taint(VELO_TAINT_LEFT);
    const int was = velo_step_begin();
    const long rc = changed(velo_sys2(SYS_pivot_root, velo_word(root), velo_word(old)));
    velo_step_end(was, rc);
    return (int)velo_answer(rc);
}
