/* attr.c - mode, owner, times and length.
 *
 * By path the core changes the node. By descriptor the kernel changes the file that holds the
 * bytes, and the core is told to look at it. */
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>
#include <utime.h>

#include "kernel/text.h"
#include "preload/path/claim.h"
#include "preload/write/credit.h"
#include "preload/write/far.h"
#include "preload/base/raw.h"
#include "preload/replay/probe.h"
#include "preload/replay/unit.h"

/* The kernel's own call on a descriptor, announced before and told of afterwards. */
static long noticed(int fd, int hosted, long rc, int times)
{
    if (hosted && rc == 0)
        velo_descriptor_changed(velo_here(), fd, times);
    return rc;
}

static int announced(int fd)
{
    struct velo_region *region = velo_here();
    return region != NULL && velo_descriptor_changing(region, fd);
}

/* In this order: the announcement is a statement of its own, arguments have none. */
#define NOTICED(fd, call) NOTICED_AS(fd, call, 0)
#define NOTICED_AS(fd, call, times)                                                                \
    ({                                                                                             \
        const int hosted_ = announced(fd);                                                         \
        noticed(fd, hosted_, call, times);                                                         \
    })

static bool means_descriptor(int fd, const char *path, int flags)
{
    return fd >= 0 && (path == NULL || ((flags & AT_EMPTY_PATH) != 0 && velo_is_empty(path)));
}

/* ---- mode ------------------------------------------------------------------------------------ */

static long chmod_at(int dirfd, const char *path, mode_t mode)
{
    ONE_NAME(dirfd, path, 0, raw_chmod(dirfd, path, mode), velo_chmod(velo_here(), &place, mode));
}

/* Without following: only symlinks are different, and their mode cannot be changed. */
static int chmod_nofollow(int dirfd, const char *path, mode_t mode)
{
    struct velo_place place;
    const int claimed = velo_claim(dirfd, path, VELO_WALK_NOFOLLOW, &place);
    if (claimed == VELO_NOT_OURS)
        return NEXT(fchmodat)(dirfd, path, mode, AT_SYMLINK_NOFOLLOW);
    if (claimed < 0)
        return (int)velo_answer(claimed);
    return (int)velo_answer(place.at.type == VELO_SYMLINK ? -EOPNOTSUPP
                                                          : velo_chmod(velo_here(), &place, mode));
}

static long chmod_name(const char *path, mode_t mode)
{
    ONE_NAME(AT_FDCWD, path, 0, old_chmod(path, mode), velo_chmod(velo_here(), &place, mode));
}

EXPORT int chmod(const char *path, mode_t mode)
{
    return (int)velo_answer(velo_saw(VELO_RECORD_CHMOD, AT_FDCWD, path, chmod_name(path, mode)));
}

EXPORT int fchmodat(int dirfd, const char *path, mode_t mode, int flags)
{
    if (flags == 0)
        return (int)velo_answer(
            velo_saw(VELO_RECORD_CHMOD, dirfd, path, chmod_at(dirfd, path, mode)));
    velo_taint(VELO_TAINT_LINKED);
    if (flags == AT_SYMLINK_NOFOLLOW)
        return chmod_nofollow(dirfd, path, mode);
    return NEXT(fchmodat)(dirfd, path, mode, flags);
}

EXPORT int lchmod(const char *path, mode_t mode)
{
    return chmod_nofollow(AT_FDCWD, path, mode);
}

EXPORT int fchmod(int fd, mode_t mode)
{
    return (int)velo_answer(NOTICED(fd, velo_sys2(SYS_fchmod, fd, mode)));
}

/* ---- owner ----------------------------------------------------------------------------------- */

/* Another owner is nothing that can be put back; `sed -i` and `install` give a file its own again. `path` is NULL
 * for what `fd` is open of. */
static void saw_chown(int fd, const char *path, uid_t uid, gid_t gid, bool follows)
{
    char text[PATH_MAX];
    struct velo_probed found;
    if (__builtin_expect(velo_unit == NULL, 1))
        return;
    const bool known = path == NULL ? raw_fstat(fd, &found.stat) == 0
                                    : !velo_cannot_read_text(path) &&
                                          velo_absolute_text(fd, path, text) >= 0 &&
                                          velo_probe(text, follows, &found) == 0;
    if (!known || (uid != (uid_t)-1 && uid != found.stat.st_uid) ||
        (gid != (gid_t)-1 && gid != found.stat.st_gid))
        velo_taint(VELO_TAINT_LINKED);
}

static long chown_at(int dirfd, const char *path, uid_t uid, gid_t gid, int flags)
{
    const bool descriptor = path != NULL && means_descriptor(dirfd, path, flags);
    saw_chown(dirfd, descriptor ? NULL : path, uid, gid, (flags & AT_SYMLINK_NOFOLLOW) == 0);
    if (descriptor)
        return NOTICED(dirfd, raw_chown(dirfd, path, uid, gid, flags));
    if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0)
        return raw_chown(dirfd, path, uid, gid, flags); /* refused before the path is read */
    path = velo_or_cwd(dirfd, path, flags);
    ONE_NAME(dirfd, path, velo_walk_flags(flags), raw_chown(dirfd, path, uid, gid, flags),
             velo_chown(velo_here(), &place, uid, gid));
}

static long chown_name(const char *path, uid_t uid, gid_t gid)
{
    saw_chown(AT_FDCWD, path, uid, gid, true);
    ONE_NAME(AT_FDCWD, path, 0, old_chown(path, uid, gid),
             velo_chown(velo_here(), &place, uid, gid));
}

static long lchown_name(const char *path, uid_t uid, gid_t gid)
{
    saw_chown(AT_FDCWD, path, uid, gid, false);
    ONE_NAME(AT_FDCWD, path, VELO_WALK_NOFOLLOW, old_lchown(path, uid, gid),
             velo_chown(velo_here(), &place, uid, gid));
}

EXPORT int chown(const char *path, uid_t uid, gid_t gid)
{
    return (int)velo_answer(chown_name(path, uid, gid));
}

EXPORT int lchown(const char *path, uid_t uid, gid_t gid)
{
    return (int)velo_answer(lchown_name(path, uid, gid));
}

EXPORT int fchownat(int dirfd, const char *path, uid_t uid, gid_t gid, int flags)
{
    return (int)velo_answer(chown_at(dirfd, path, uid, gid, flags));
}

EXPORT int fchown(int fd, uid_t uid, gid_t gid)
{
    saw_chown(fd, NULL, uid, gid, true);
    return (int)velo_answer(NOTICED(fd, velo_sys3(SYS_fchown, fd, uid, gid)));
}

/* ---- times ----------------------------------------------------------------------------------- */

static bool valid_time(const struct timespec *time)
{
    return time->tv_nsec == UTIME_NOW || time->tv_nsec == UTIME_OMIT ||
           (time->tv_nsec >= 0 && time->tv_nsec < 1000000000);
}

static long utimens_hosted(struct velo_place *place, const struct timespec *times)
{
    static const struct timespec now[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
    if (times == NULL)
        times = now;
    if (!valid_time(&times[0]) || !valid_time(&times[1]))
        return -EINVAL;
    return velo_utimens(velo_here(), place, times);
}

static long set_times(int dirfd, const char *path, const struct timespec *times, int flags)
{
    const bool unreadable = times != NULL && velo_cannot_read(times, 2 * sizeof *times);
    const bool sets_mtime = times == NULL || unreadable || times[1].tv_nsec != UTIME_OMIT;
    const bool nothing = !sets_mtime && times[0].tv_nsec == UTIME_OMIT;
    if (!nothing && means_descriptor(dirfd, path, flags))
        return NOTICED_AS(dirfd, raw_utimens(dirfd, path, times, flags), sets_mtime);
    if (nothing || unreadable || (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0)
        return raw_utimens(dirfd, path, times, flags); /* answered before the path is read */
    path = velo_or_cwd(dirfd, path, flags);
    ONE_NAME(dirfd, path, velo_walk_flags(flags), raw_utimens(dirfd, path, times, flags),
             utimens_hosted(&place, times));
}

/* What `fd` leads to lies outside of the hosted directories: no output of a step, unless it is gone at its end. */
static bool leads_outside(int fd, char path[PATH_MAX])
{
    char link[32];
    struct stat stat;
    struct velo_place place;
    char *end = stpcpy(link, "/proc/self/fd/");
    end[velo_write_decimal(end, (uint64_t)fd)] = 0;
    const long length = raw_readlink(AT_FDCWD, link, path, PATH_MAX - 1);
    if (length <= 0 || path[0] != '/' || velo_here() == NULL || raw_fstat(fd, &stat) != 0 ||
        velo_is_node(velo_node_of(velo_here(), &stat)))
        return false;
    path[length] = 0;
    return velo_claim(AT_FDCWD, path, 0, &place) == VELO_NOT_OURS;
}

/* Explicit times of an output are not put back. */
static void saw_times(int dirfd, const char *path, bool now, long rc)
{
    char outside[PATH_MAX];
    if (velo_unit == NULL)
        return;
    if (!now && path == NULL && dirfd >= 0 && leads_outside(dirfd, outside))
        path = outside;
    else if (!now)
        velo_taint(VELO_TAINT_TIMES);
    velo_saw_now(VELO_RECORD_CHMOD, 0, dirfd, path, rc);
}

/* "Now" is what a file that is put back gets. */
static long utimens_at(int dirfd, const char *path, const struct timespec *times, int flags)
{
    const bool now = times == NULL || velo_cannot_read(times, 2 * sizeof *times) ||
                     times[1].tv_nsec == UTIME_NOW;
    const long rc = set_times(dirfd, path, times, flags);
    saw_times(dirfd, path, now, rc);
    return rc;
}

/* The old calls in microseconds. */
static long utimes_at(int dirfd, const char *path, const struct timeval times[2], int flags)
{
    if (times == NULL)
        return utimens_at(dirfd, path, NULL, flags);
    if (velo_cannot_read(times, 2 * sizeof *times))
        return -EFAULT;
    struct timespec precise[2];
    for (int i = 0; i < 2; i++) {
        if (times[i].tv_usec < 0 || times[i].tv_usec >= 1000000)
            return -EINVAL;
        precise[i] = (struct timespec){times[i].tv_sec, times[i].tv_usec * 1000};
    }
    return utimens_at(dirfd, path, precise, flags);
}

EXPORT int utimensat(int dirfd, const char *path, const struct timespec times[2], int flags)
{
    if (velo_as_given(path) == NULL && (flags & AT_EMPTY_PATH) == 0)
        return (int)velo_answer(-EINVAL); /* as libc: only futimens means the descriptor */
    return (int)velo_answer(utimens_at(dirfd, path, times, flags));
}

EXPORT int futimens(int fd, const struct timespec times[2])
{
    if (fd < 0)
        return (int)velo_answer(-EBADF);
    return (int)velo_answer(utimens_at(fd, NULL, times, 0));
}

EXPORT int utimes(const char *path, const struct timeval times[2])
{
    return (int)velo_answer(utimes_at(AT_FDCWD, path, times, 0));
}

EXPORT int lutimes(const char *path, const struct timeval times[2])
{
    return (int)velo_answer(utimes_at(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW));
}

EXPORT int futimesat(int dirfd, const char *path, const struct timeval times[2])
{
    return (int)velo_answer(utimes_at(dirfd, path, times, 0));
}

EXPORT int futimes(int fd, const struct timeval times[2])
{
    if (fd < 0)
        return (int)velo_answer(-EBADF);
    return (int)velo_answer(utimes_at(fd, NULL, times, 0));
}

EXPORT int utime(const char *path, const struct utimbuf *times)
{
    if (times == NULL)
        return (int)velo_answer(utimens_at(AT_FDCWD, path, NULL, 0));
    if (velo_cannot_read(times, sizeof *times))
        return (int)velo_answer(-EFAULT);
    const struct timespec precise[2] = {{times->actime, 0}, {times->modtime, 0}};
    return (int)velo_answer(utimens_at(AT_FDCWD, path, precise, 0));
}

/* ---- length ---------------------------------------------------------------------------------- */

/* As long as no disk has a file (far.h). What cannot be opened so is for velo_truncate to answer. */
static bool is_too_long(struct velo_place *place, off_t length)
{
    if (length <= VELO_FAR_BYTES || place->at.kind != VELO_HOSTED || place->at.type != VELO_REGULAR)
        return false;
    const int fd = velo_open(velo_here(), place, O_WRONLY | O_CLOEXEC | O_NONBLOCK, 0);
    if (fd < 0)
        return false;
    const bool too_long = length > velo_longest_by(fd, length);
    raw_close(fd);
    return too_long;
}

static long truncate_hosted(struct velo_place *place, off_t length)
{
    return is_too_long(place, length) ? -EFBIG : velo_truncate(velo_here(), place, length);
}

static long truncate_at(const char *path, off_t length)
{
    ONE_NAME(AT_FDCWD, path, 0, raw_truncate(path, length), truncate_hosted(&place, length));
}

EXPORT int truncate(const char *path, off_t length)
{
    return (int)velo_answer(velo_saw(VELO_RECORD_WRITE, AT_FDCWD, path, truncate_at(path, length)));
}
ALIAS(truncate64, truncate);

/* A longer file is all hole, so its space is charged as it is written, not here. But no other call charges
 * a file that is written through a mapping, hence the attempt. */
EXPORT int ftruncate(int fd, off_t length)
{
    if (velo_write_credit(fd) != 0 && length > 0) {
        velo_write_credit_charge_to(fd, (uint64_t)length);
        velo_write_credit_commit(fd, (uint64_t)length);
    }
    if (__builtin_expect(length > VELO_FAR_BYTES, 0) && length > velo_longest_by(fd, length))
        return (int)velo_answer(-EFBIG);
    const bool began = velo_gate_enter(fd);
    const long rc = NOTICED(fd, velo_sys2(SYS_ftruncate, fd, length));
    velo_gate_leave(began);
    return (int)velo_answer(rc);
}
ALIAS(ftruncate64, ftruncate);
