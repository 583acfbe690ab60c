/* stat.c - asking about files: stat in its forms, and access.
 *
 * By path the core answers from memory. By descriptor the kernel answers first, and what it says of
 * a hosted file is corrected: identity, links and size are those of the path. */
#include <stdio.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "kernel/os.h"
#include "preload/path/claim.h"
#include "preload/base/raw.h"
#include "preload/replay/unit.h"

/* Linux 5.8 and 6.8; libc's struct may be older than the kernel. */
#define ASKS_MOUNT (0x1000u | 0x4000u) /* STATX_MNT_ID, STATX_MNT_ID_UNIQUE */
#define MOUNT_AT 144                   /* stx_mnt_id, a uint64_t */

/* A program sees a plain file's stamp: what is stamped in memory from now on is not older, although
 * the kernel's stamps can be finer than any clock we can read. ctime: no program can fake it. */
static void saw(struct velo_region *region, const struct stat *plain)
{
    velo_raise_floor(region, velo_ns(&plain->st_ctim));
}

/* A program that cannot be entered may have written to the file on disk, by a path that no process has walked
 * since: a program that follows a log asks the descriptor only (mirror.c). */
__attribute__((noinline)) static void catch_up(struct velo_region *region, velo_node_id node)
{
    struct velo_place place;
    (void)velo_place_of_node(region, node, &place);
}

static long stat_fd(int fd, struct stat *out)
{
    velo_saw_fstat();
    long rc = raw_fstat(fd, out);
    struct velo_region *region = rc == 0 ? velo_here() : NULL;
    if (region != NULL && velo_opaque_runs(region) && S_ISREG(out->st_mode)) {
        const velo_node_id node = velo_node_of(region, out);
        if (velo_is_node(node))
            catch_up(region, node);
        rc = raw_fstat(fd, out);
    }
    if (region != NULL && !velo_fstat_fix(region, out))
        saw(region, out);
    return rc;
}

/* /dev/stdin and /proc/PID/fd/N may lead to a hosted file, known by its kernel identity. */
static bool by_descriptor(const char *path)
{
    return velo_cannot_read(path, 2) || (path[0] == '/' && (path[1] == 'd' || path[1] == 'p'));
}

static long stat_plain(int dirfd, const char *path, struct stat *out, int flags)
{
    const long rc = raw_statat(dirfd, path, out, flags);
    struct velo_region *region = rc == 0 ? velo_here() : NULL;
    if (region == NULL)
        return rc;
    const bool asked = by_descriptor(path) || velo_has_second_names(region);
    if (!asked || !velo_fstat_fix(region, out))
        saw(region, out);
    return rc;
}

/* "" and NULL with AT_EMPTY_PATH mean the descriptor itself. */
static bool means_descriptor(int dirfd, const char *path, int flags)
{
    return (flags & AT_EMPTY_PATH) != 0 && dirfd >= 0 &&
           (velo_as_given(path) == NULL || velo_is_empty(path));
}

/* The answer gets nowhere; errors on the way come first. */
__attribute__((noinline)) static long stat_nowhere(struct velo_place *place)
{
    struct stat unseen;
    const int rc = velo_stat(velo_here(), place, &unseen);
    return rc == 0 ? -EFAULT : rc;
}

/* The working directory itself, which needs no right to search it. */
static bool means_cwd(int dirfd, const char *path, int flags)
{
    return dirfd == AT_FDCWD && (flags & AT_EMPTY_PATH) != 0 &&
           (velo_as_given(path) == NULL || velo_is_empty(path));
}

static long stat_cwd(const char *path, struct stat *out, int flags)
{
    const long rc = raw_statat(AT_FDCWD, path, out, flags);
    struct velo_region *region = rc == 0 ? velo_here() : NULL;
    if (region != NULL && !velo_fstat_fix(region, out))
        saw(region, out);
    return rc;
}

/* Answered before the path is read. */
static bool refused(int flags)
{
    return (flags &
            ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE)) != 0;
}

static enum velo_record_kind kind_of(int flags)
{
    return (flags & AT_SYMLINK_NOFOLLOW) != 0 ? VELO_RECORD_LSTAT : VELO_RECORD_STAT;
}

static long stat_at(int dirfd, const char *path, struct stat *out, int flags)
{
    if (refused(flags))
        return raw_statat(dirfd, path, out, flags);
    if (means_descriptor(dirfd, path, flags))
        return stat_fd(dirfd, out);
    if (means_cwd(dirfd, path, flags))
        return stat_cwd(path, out, flags);
    struct velo_place place;
    const int claimed = velo_claim(dirfd, path, velo_walk_flags(flags), &place);
    const long rc = claimed == VELO_NOT_OURS              ? stat_plain(dirfd, path, out, flags)
                    : claimed < 0                         ? claimed
                    : velo_cannot_write(out, sizeof *out) ? stat_nowhere(&place)
                                                          : velo_stat(velo_here(), &place, out);
    return velo_saw(kind_of(flags), dirfd, path, rc);
}

EXPORT int stat(const char *path, struct stat *out)
{
    return (int)velo_answer(stat_at(AT_FDCWD, path, out, 0));
}
ALIAS(stat64, stat);

EXPORT int lstat(const char *path, struct stat *out)
{
    return (int)velo_answer(stat_at(AT_FDCWD, path, out, AT_SYMLINK_NOFOLLOW));
}
ALIAS(lstat64, lstat);

EXPORT int fstat(int fd, struct stat *out)
{
    return (int)velo_answer(stat_fd(fd, out));
}
ALIAS(fstat64, fstat);

EXPORT int fstatat(int dirfd, const char *path, struct stat *out, int flags)
{
    return (int)velo_answer(stat_at(dirfd, path, out, flags));
}
ALIAS(fstatat64, fstatat);

/* Programs built against glibc before 2.33. `version` tells which struct; here is only one. */
int __xstat(int version, const char *path, struct stat *out);
int __lxstat(int version, const char *path, struct stat *out);
int __fxstat(int version, int fd, struct stat *out);
int __fxstatat(int version, int dirfd, const char *path, struct stat *out, int flags);

EXPORT int __xstat(int version, const char *path, struct stat *out)
{
    (void)version;
    return stat(path, out);
}
ALIAS(__xstat64, __xstat);

EXPORT int __lxstat(int version, const char *path, struct stat *out)
{
    (void)version;
    return lstat(path, out);
}
ALIAS(__lxstat64, __lxstat);

EXPORT int __fxstat(int version, int fd, struct stat *out)
{
    (void)version;
    return fstat(fd, out);
}
ALIAS(__fxstat64, __fxstat);

EXPORT int __fxstatat(int version, int dirfd, const char *path, struct stat *out, int flags)
{
    (void)version;
    return fstatat(dirfd, path, out, flags);
}
ALIAS(__fxstatat64, __fxstatat);

/* ---- statx ----------------------------------------------------------------------------------- */

static struct statx_timestamp statx_time(struct timespec time)
{
    return (struct statx_timestamp){.tv_sec = time.tv_sec, .tv_nsec = (uint32_t)time.tv_nsec};
}

static void statx_from_stat(struct statx *out, const struct stat *stat)
{
    memset(out, 0, sizeof *out);
    out->stx_mask = STATX_BASIC_STATS;
    out->stx_blksize = (uint32_t)stat->st_blksize;
    out->stx_nlink = (uint32_t)stat->st_nlink;
    out->stx_uid = stat->st_uid;
    out->stx_gid = stat->st_gid;
    out->stx_mode = (uint16_t)stat->st_mode;
    out->stx_ino = stat->st_ino;
    out->stx_size = (uint64_t)stat->st_size;
    out->stx_blocks = (uint64_t)stat->st_blocks;
    out->stx_atime = statx_time(stat->st_atim);
    out->stx_ctime = statx_time(stat->st_ctim);
    out->stx_mtime = statx_time(stat->st_mtim);
    out->stx_rdev_major = major(stat->st_rdev);
    out->stx_rdev_minor = minor(stat->st_rdev);
    out->stx_dev_major = major(stat->st_dev);
    out->stx_dev_minor = minor(stat->st_dev);
}

/* When the file was made, which no stat says; the kernel's inode may be a copy that is younger. */
static void statx_birth(struct velo_region *region, velo_node_id node, unsigned mask,
                        struct statx *out)
{
    if ((mask & STATX_BTIME) == 0)
        return;
    out->stx_btime = statx_time(velo_timespec(velo_birth_of(region, node)));
    out->stx_mask |= STATX_BTIME;
}

/* What the disk that the file is to be on says of all its files, for each mask: which fields and attributes
 * it knows, and where it is mounted. Asked once, unless the program wants to know the mount. */
static void statx_ground(const struct velo_region *region, velo_node_id node, unsigned mask,
                         struct statx *out)
{
    static _Thread_local struct {
        const char *root;
        unsigned asked, mask;
        uint64_t attributes, mount;
    } known __attribute__((tls_model("initial-exec")));
    const char *root = velo_root_above(region, node);
    struct statx disk;
    if (root == NULL) /* a file that has no name any more, or has none yet */
        root = velo_workspace_of(region);
    if (known.root != root || known.asked != mask || (mask & ASKS_MOUNT) != 0) {
        if (raw_statx(AT_FDCWD, root, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, mask, &disk) != 0)
            return;
        known.root = root;
        known.asked = mask;
        known.mask = disk.stx_mask;
        known.attributes = disk.stx_attributes_mask;
        memcpy(&known.mount, (const char *)&disk + MOUNT_AT, sizeof known.mount);
    }
    out->stx_mask = known.mask;
    out->stx_attributes_mask = known.attributes;
    memcpy((char *)out + MOUNT_AT, &known.mount, sizeof known.mount);
    if ((known.mask & STATX_BTIME) == 0)
        out->stx_btime = (struct statx_timestamp){0};
    if ((known.mask & STATX_MTIME) == 0)
        out->stx_mtime = (struct statx_timestamp){0};
    if ((known.mask & STATX_CTIME) == 0)
        out->stx_ctime = (struct statx_timestamp){0};
}

static void statx_hosted(struct velo_region *region, velo_node_id node, unsigned mask,
                         const struct stat *stat, struct statx *out)
{
    statx_from_stat(out, stat);
    statx_birth(region, node, mask, out);
    statx_ground(region, node, mask, out);
}

static velo_node_id statx_node(struct velo_region *region, const struct statx *plain)
{
    struct stat identity = {.st_mode = plain->stx_mode, .st_ino = plain->stx_ino};
    identity.st_dev = makedev(plain->stx_dev_major, plain->stx_dev_minor);
    return velo_node_of(region, &identity);
}

static long statx_plain(int fd, const char *path, int flags, unsigned mask, struct statx *out)
{
    const long rc = raw_statx(fd, path, flags, mask, out);
    struct velo_region *region = rc == 0 ? velo_here() : NULL;
    if (region != NULL && (out->stx_mask & STATX_CTIME) != 0)
        velo_raise_floor(region, out->stx_ctime.tv_sec * 1000000000 + out->stx_ctime.tv_nsec);
    return rc;
}

/* Of a descriptor, or of a path that leads to one. */
static long statx_fd(int fd, const char *path, int flags, unsigned mask, struct statx *out)
{
    const long rc = statx_plain(fd, path, flags, mask, out);
    struct velo_region *region = rc == 0 ? velo_here() : NULL;
    struct stat stat;
    velo_saw_fstat();
    const velo_node_id node = region == NULL ? VELO_NO_NODE : statx_node(region, out);
    if (velo_is_node(node) && velo_opaque_runs(region) && S_ISREG(out->stx_mode))
        catch_up(region, node);
    if (velo_is_node(node) && !velo_is_linked_outside(region, node) &&
        (means_descriptor(fd, path, flags) ? raw_fstat(fd, &stat)
                                           : raw_statat(fd, path, &stat, flags)) == 0 &&
        velo_fstat_fix(region, &stat)) {
        statx_hosted(region, node, mask, &stat, out);
    }
    return rc;
}

static long statx_named(int dirfd, const char *path, int flags, unsigned mask, struct statx *out)
{
    if (refused(flags) || (flags & AT_STATX_SYNC_TYPE) == AT_STATX_SYNC_TYPE ||
        (mask & STATX__RESERVED) != 0)
        return raw_statx(dirfd, path, flags, mask, out);
    if (means_descriptor(dirfd, path, flags) || means_cwd(dirfd, path, flags))
        return statx_fd(dirfd, path, flags, mask, out);
    struct velo_place place;
    const int claimed = velo_claim(dirfd, path, velo_walk_flags(flags), &place);
    if (claimed == VELO_NOT_OURS)
        return by_descriptor(path) || (velo_here() != NULL && velo_has_second_names(velo_here()))
                   ? statx_fd(dirfd, path, flags, mask, out)
                   : statx_plain(dirfd, path, flags, mask, out);
    struct stat stat;
    const long rc = claimed < 0 ? claimed : velo_stat(velo_here(), &place, &stat);
    if (rc == 0 && velo_cannot_write(out, sizeof *out))
        return -EFAULT;
    if (rc == 0 && velo_is_linked_outside(velo_here(), place.at.node))
        return statx_plain(AT_FDCWD, place.text.path, flags | AT_SYMLINK_NOFOLLOW, mask, out);
    if (rc == 0)
        statx_hosted(velo_here(), place.at.node, mask, &stat, out);
    return rc;
}

static long statx_at(int dirfd, const char *path, int flags, unsigned mask, struct statx *out)
{
    return velo_saw(kind_of(flags), dirfd, path, statx_named(dirfd, path, flags, mask, out));
}

EXPORT int statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *out)
{
    return (int)velo_answer(statx_at(dirfd, path, flags, mask, out));
}

/* ---- access ---------------------------------------------------------------------------------- */

EXPORT int faccessat(int dirfd, const char *path, int mode, int flags)
{
    struct velo_place place;
    const int bad = (mode & ~(R_OK | W_OK | X_OK)) != 0 ||
                    (flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0;
    const unsigned real = (flags & AT_EACCESS) != 0 ? 0 : VELO_WALK_REAL;
    const int claimed =
        bad ? VELO_NOT_OURS : velo_claim(dirfd, path, velo_walk_flags(flags) | real, &place);
    if (claimed == VELO_NOT_OURS) {
        const int rc = flags == 0 ? (int)velo_answer(raw_access(dirfd, path, mode))
                                  : NEXT(faccessat)(dirfd, path, mode, flags);
        return (int)velo_saw_errno(VELO_RECORD_ACCESS, dirfd, path, rc);
    }
    const long rc = claimed < 0 ? claimed : velo_access(velo_here(), &place, mode, flags);
    return (int)velo_answer(velo_saw(VELO_RECORD_ACCESS, dirfd, path, rc));
}

EXPORT int access(const char *path, int mode)
{
    struct velo_place place;
    const int claimed = (mode & ~(R_OK | W_OK | X_OK)) != 0
                            ? VELO_NOT_OURS
                            : velo_claim(AT_FDCWD, path, VELO_WALK_REAL, &place);
    const long rc = claimed == VELO_NOT_OURS ? old_access(path, mode)
                    : claimed < 0            ? claimed
                                             : velo_access(velo_here(), &place, mode, 0);
    return (int)velo_answer(velo_saw(VELO_RECORD_ACCESS, AT_FDCWD, path, rc));
}

EXPORT int euidaccess(const char *path, int mode)
{
    return faccessat(AT_FDCWD, path, mode & (R_OK | W_OK | X_OK), AT_EACCESS);
}
ALIAS(eaccess, euidaccess);
