/* link.c - names: rename, link, unlink, symlink, mkdir, mknod and their spellings.
 *
 * Calls on one name ask for it without following a symlink at its end. Calls on two need both
 * places as soon as one of them is ours. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "preload/path/claim.h"
#include "preload/write/credit.h"
#include "preload/path/outside.h"
#include "preload/base/raw.h"
#include "preload/replay/unit.h"
#include "preload/program/peers.h"
#include "preload/write/relocate.h"
#include "preload/program/fifo.h"
#include "across.h"

#define THE_NAME (VELO_WALK_NOFOLLOW | VELO_WALK_LAST)

/* ---- two names ------------------------------------------------------------------------------- */

/* The kernel's error for the directories on the way to a path outside, or (`whole`) for all of it. */
static int error_outside(int dirfd, const char *path, bool whole)
{
    char text[PATH_MAX];
    struct stat stat;
    size_t length = velo_cannot_read_text(path) ? 0 : strnlen(path, PATH_MAX);
    if (whole || length == 0 || length == PATH_MAX)
        return (int)raw_statat(dirfd, path, &stat, AT_SYMLINK_NOFOLLOW);
    while (length > 1 && path[length - 1] == '/')
        length--;
    while (length > 0 && path[length - 1] != '/')
        length--;
    memcpy(text, path, length);
    memcpy(text + length, ".", 2);
    return (int)raw_statat(dirfd, text, &stat, 0);
}

/* The kernel has no objection to the path, but the path may be longer than PATH_MAX allows (claim.c). */
static int resolve_plain(int dirfd, const char *path, unsigned walk, struct velo_place *place)
{
    const int rc = velo_resolve(dirfd, path, walk, place);
    return rc == -ENAMETOOLONG ? -EXDEV : rc;
}

/* Claims both, with the errors in the kernel's order: the way to `from`, and all of it when it is
 * to be looked at (`whole`), come first. VELO_NOT_OURS: the program's own call; VELO_OURS: both
 * places are filled and at least one is hosted; or -errno. */
static int claim_two(int fd, const char *from, unsigned walk, bool whole,
                     struct velo_place *from_place, int to_fd, const char *to,
                     struct velo_place *to_place)
{
    const int a = velo_claim(fd, from, walk, from_place);
    if (a < 0)
        return a;
    if (a == VELO_OURS && whole && from_place->at.type == VELO_NONE)
        return -ENOENT;
    const int b = velo_claim(to_fd, to, THE_NAME, to_place);
    if (a == VELO_NOT_OURS && b == VELO_NOT_OURS)
        return VELO_NOT_OURS;
    int rc = a == VELO_NOT_OURS ? error_outside(fd, from, whole) : 0;
    if (rc == 0 && b < 0)
        rc = b;
    if (rc == 0 && b == VELO_NOT_OURS)
        rc = error_outside(to_fd, to, false);
    if (rc == 0 && a == VELO_NOT_OURS)
        rc = resolve_plain(fd, from, walk, from_place);
    if (rc == 0 && b == VELO_NOT_OURS)
        rc = resolve_plain(to_fd, to, THE_NAME, to_place);
    return rc != 0 ? rc : VELO_OURS;
}

/* Flags that the kernel refuses before it looks at any name. */
static bool refused(unsigned flags)
{
    return (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT)) != 0 ||
           ((flags & RENAME_EXCHANGE) != 0 && flags != RENAME_EXCHANGE);
}

/* A file that this process has open gets a name in a watched directory: what is written by its
 * descriptors is to be announced there. */
static void arrives(struct velo_place *from, const struct velo_place *to)
{
    struct velo_region *region = velo_here();
    if (from->at.kind == VELO_HOSTED && from->at.type == VELO_REGULAR &&
        to->at.kind == VELO_HOSTED && velo_takes_watched_name(region, to) &&
        velo_leave_memory(region, from->at.node) == -EBUSY)
        (void)velo_relocate_place(from, false); /* else it is announced later: docs/limits.md */
}

/* A name that was renamed or linked outside may be a symlink that leads in. */
static long moved_outside(long rc, const char *from, int to_fd, const char *to)
{
    struct velo_region *region = rc == 0 ? velo_here() : NULL;
    if (region != NULL)
        velo_link_moved(region, from, to_fd, to);
    return rc;
}

/* The same of one that left a hosted directory, or got a name outside. `type`: of `from`, before. */
static void left(enum velo_type type, const struct velo_place *to, int to_fd, const char *path)
{
    if (type == VELO_SYMLINK && to->at.kind == VELO_OUTSIDE)
        velo_link_made(velo_here(), to_fd, path);
}

/* Out of memory while it is being written? Then its descriptors are to leave it, too. */
static bool goes_on_outside(const struct velo_place *from, const struct velo_place *to,
                            unsigned flags)
{
    const bool first = velo_relocate_place(from, true) == 0;
    return (flags == RENAME_EXCHANGE && velo_relocate_place(to, true) == 0) || first;
}

/* Which call the program made: rename itself, or one of those with directories. */
#define BY_NAMES (1u << 31)

/* Both ends are outside; hosted directories may be below. */
static long rename_plain(int fd, const char *from, int to_fd, const char *to, unsigned called)
{
    const unsigned flags = called == BY_NAMES ? 0 : called;
    const int above = refused(flags) ? 1 : velo_above_rename(fd, from, to_fd, to, flags);
    if (above <= 0)
        return above;
    return called == BY_NAMES ? old_rename(from, to) : raw_rename(fd, from, to_fd, to, flags);
}

static long rename_at(int fd, const char *from, int to_fd, const char *to, unsigned called)
{
    const unsigned flags = called == BY_NAMES ? 0 : called;
    struct velo_place a, b;
    const int claimed =
        refused(flags) ? VELO_NOT_OURS : claim_two(fd, from, THE_NAME, false, &a, to_fd, to, &b);
    if (claimed == VELO_NOT_OURS)
        return moved_outside(rename_plain(fd, from, to_fd, to, called), from, to_fd, to);
    if (claimed == -EXDEV && flags == 0)
        return velo_across_rename(fd, from, to_fd, to);
    if (claimed < 0)
        return claimed;
    arrives(&a, &b);
    if (flags == RENAME_EXCHANGE)
        arrives(&b, &a);
    const enum velo_type type = a.at.type;
    const long rc = velo_rename(velo_here(), &a, &b, flags);
    if (rc == 0)
        left(type, &b, to_fd, to);
    if (rc != -EXDEV || !goes_on_outside(&a, &b, flags))
        return rc;
    return rename_at(fd, from, to_fd, to, called);
}

/* For the step that this process belongs to. mv asks first for a rename that replaces nothing: that says what stood at
 * the other end. What else is no plain rename that went well is not put back. */
static long seen_rename(int fd, const char *from, int to_fd, const char *to, unsigned flags,
                        long rc)
{
    const bool keeps = flags == RENAME_NOREPLACE;
    if (keeps && (rc == 0 || rc == -EEXIST))
        velo_saw(VELO_RECORD_LSTAT, to_fd, to, rc == 0 ? -ENOENT : 0);
    if (rc == 0 && (flags == 0 || flags == BY_NAMES || keeps))
        velo_saw_two(VELO_RECORD_RENAME, fd, from, to_fd, to);
    else if (!keeps || rc != -EEXIST)
        velo_taint(VELO_TAINT_LINKED);
    return rc;
}

EXPORT int rename(const char *from, const char *to)
{
    const long rc = rename_at(AT_FDCWD, from, AT_FDCWD, to, BY_NAMES);
    return (int)velo_answer(seen_rename(AT_FDCWD, from, AT_FDCWD, to, BY_NAMES, rc));
}

EXPORT int renameat(int fd, const char *from, int to_fd, const char *to)
{
    const long rc = rename_at(fd, from, to_fd, to, 0);
    return (int)velo_answer(seen_rename(fd, from, to_fd, to, 0, rc));
}

EXPORT int renameat2(int fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    if (flags == BY_NAMES)
        return (int)velo_answer(-EINVAL); /* the kernel knows no such flag */
    const long rc = rename_at(fd, from, to_fd, to, flags);
    return (int)velo_answer(seen_rename(fd, from, to_fd, to, flags, rc));
}

/* The descriptor that `from` means, or -1: linkat(fd, "", ..., AT_EMPTY_PATH) and
 * linkat(AT_FDCWD, "/proc/self/fd/N", ..., AT_SYMLINK_FOLLOW). */
static int linked_descriptor(int fd, const char *from, int flags)
{
    if (velo_cannot_read_text(from))
        return -1;
    if ((flags & AT_EMPTY_PATH) != 0 && from[0] == 0)
        return fd;
    return (flags & AT_SYMLINK_FOLLOW) != 0 ? velo_fd_of_path(from) : -1;
}

/* Link an open file. A plain one goes to the real directory, where we then look again. */
static long link_descriptor(int descriptor, int fd, const char *from, int to_fd, const char *to,
                            int flags)
{
    struct velo_region *region = velo_here();
    const velo_node_id node = region == NULL ? VELO_NO_NODE : velo_node_of_fd(region, descriptor);
    struct velo_place a, b;
    const int claimed = velo_claim(to_fd, to, THE_NAME, &b);
    if (claimed < 0)
        return claimed;
    if (velo_is_node(node)) {
        const int named = velo_place_of_node(region, node, &a);
        const int rc = claimed == VELO_NOT_OURS ? velo_resolve(to_fd, to, THE_NAME, &b) : 0;
        if (rc != 0)
            return rc;
        return named == 0 ? velo_link(region, &a, &b) : velo_link_tmpfile(region, node, &b);
    }
    if (claimed == VELO_NOT_OURS)
        return raw_link(fd, from, to_fd, to, flags);
    const long rc = raw_link(fd, from, AT_FDCWD, b.text.path, flags);
    if (rc == 0 && claimed == VELO_OURS)
        velo_revalidate(region, &b);
    return rc;
}

static long link_places(struct velo_place *from, struct velo_place *to, int to_fd, const char *path)
{
    arrives(from, to);
    const enum velo_type type = from->at.type;
    const long rc = velo_link(velo_here(), from, to);
    if (rc == 0)
        left(type, to, to_fd, path);
    return rc;
}

static long link_at(int fd, const char *from, int to_fd, const char *to, int flags)
{
    if ((flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH)) != 0)
        return raw_link(fd, from, to_fd, to, flags);
    const int descriptor = linked_descriptor(fd, from, flags);
    if (descriptor >= 0)
        return link_descriptor(descriptor, fd, from, to_fd, to, flags);
    struct velo_place a, b;
    const unsigned walk = (flags & AT_SYMLINK_FOLLOW) != 0 ? 0 : VELO_WALK_NOFOLLOW;
    const int claimed = claim_two(fd, from, walk, true, &a, to_fd, to, &b);
    if (claimed == VELO_NOT_OURS)
        return moved_outside(raw_link(fd, from, to_fd, to, flags), from, to_fd, to);
    if (claimed == -EXDEV)
        return velo_across_link(fd, from, to_fd, to, flags);
    return claimed < 0 ? claimed : link_places(&a, &b, to_fd, to);
}

static long link_names(const char *from, const char *to)
{
    struct velo_place a, b;
    const int claimed = claim_two(AT_FDCWD, from, VELO_WALK_NOFOLLOW, true, &a, AT_FDCWD, to, &b);
    if (claimed == VELO_NOT_OURS)
        return moved_outside(old_link(from, to), from, AT_FDCWD, to);
    if (claimed == -EXDEV)
        return velo_across_link(AT_FDCWD, from, AT_FDCWD, to, 0);
    return claimed < 0 ? claimed : link_places(&a, &b, AT_FDCWD, to);
}

static long seen_link(int fd, const char *from, int to_fd, const char *to, long rc)
{
    if (rc == 0 && from[0] != 0)
        velo_saw_two(VELO_RECORD_SECOND_NAME, fd, from, to_fd, to);
    else
        velo_taint(VELO_TAINT_LINKED);
    return rc;
}

EXPORT int link(const char *from, const char *to)
{
    return (int)velo_answer(seen_link(AT_FDCWD, from, AT_FDCWD, to, link_names(from, to)));
}

EXPORT int linkat(int fd, const char *from, int to_fd, const char *to, int flags)
{
    return (int)velo_answer(seen_link(fd, from, to_fd, to, link_at(fd, from, to_fd, to, flags)));
}

/* ---- removing -------------------------------------------------------------------------------- */

static long remove_at(int dirfd, const char *path, int flags)
{
    if ((flags & ~AT_REMOVEDIR) != 0)
        return raw_unlink(dirfd, path, flags); /* refused before the path is read */
    ONE_NAME(dirfd, path, THE_NAME, raw_unlink(dirfd, path, flags),
             (flags & AT_REMOVEDIR) != 0 ? velo_rmdir(velo_here(), &place)
                                         : velo_unlink(velo_here(), &place));
}

static long unlink_name(const char *path)
{
    ONE_NAME(AT_FDCWD, path, THE_NAME, old_unlink(path), velo_unlink(velo_here(), &place));
}

static long rmdir_name(const char *path)
{
    ONE_NAME(AT_FDCWD, path, THE_NAME, old_rmdir(path), velo_rmdir(velo_here(), &place));
}

EXPORT int unlink(const char *path)
{
    return (int)velo_answer(velo_saw(VELO_RECORD_GONE, AT_FDCWD, path, unlink_name(path)));
}

EXPORT int unlinkat(int dirfd, const char *path, int flags)
{
    return (int)velo_answer(velo_saw(VELO_RECORD_GONE, dirfd, path, remove_at(dirfd, path, flags)));
}

EXPORT int rmdir(const char *path)
{
    return (int)velo_answer(velo_saw(VELO_RECORD_GONE, AT_FDCWD, path, rmdir_name(path)));
}

EXPORT int remove(const char *path)
{
    long rc = unlink_name(path);
    if (rc == -EISDIR)
        rc = rmdir_name(path);
    return (int)velo_answer(velo_saw(VELO_RECORD_GONE, AT_FDCWD, path, rc));
}

/* ---- making ---------------------------------------------------------------------------------- */

static long symlink_outside(long rc, int dirfd, const char *path)
{
    struct velo_region *region = rc == 0 ? velo_here() : NULL;
    if (region != NULL)
        velo_link_made(region, dirfd, path);
    return rc;
}

static long symlink_at(const char *target, int dirfd, const char *path)
{
    if (velo_cannot_read_text(target)) /* read before the path */
        return raw_symlink(target, dirfd, path);
    ONE_NAME(dirfd, path, THE_NAME, symlink_outside(raw_symlink(target, dirfd, path), dirfd, path),
             velo_symlink(velo_here(), target, &place));
}

static long symlink_name(const char *target, const char *path)
{
    if (velo_cannot_read_text(target))
        return old_symlink(target, path);
    ONE_NAME(AT_FDCWD, path, THE_NAME, symlink_outside(old_symlink(target, path), AT_FDCWD, path),
             velo_symlink(velo_here(), target, &place));
}

EXPORT int symlink(const char *target, const char *path)
{
    return (int)velo_answer(
        velo_saw(VELO_RECORD_SYMLINK, AT_FDCWD, path, symlink_name(target, path)));
}

EXPORT int symlinkat(const char *target, int dirfd, const char *path)
{
    const long rc = symlink_at(target, dirfd, path);
    return (int)velo_answer(velo_saw(VELO_RECORD_SYMLINK, dirfd, path, rc));
}

static long mkdir_at(int dirfd, const char *path, mode_t mode)
{
    ONE_NAME(dirfd, path, THE_NAME, raw_mkdir(dirfd, path, mode),
             velo_mkdir(velo_here(), &place, mode));
}

static long mkdir_name(const char *path, mode_t mode)
{
    ONE_NAME(AT_FDCWD, path, THE_NAME, old_mkdir(path, mode),
             velo_mkdir(velo_here(), &place, mode));
}

EXPORT int mkdir(const char *path, mode_t mode)
{
    return (int)velo_answer(velo_saw(VELO_RECORD_MKDIR, AT_FDCWD, path, mkdir_name(path, mode)));
}

EXPORT int mkdirat(int dirfd, const char *path, mode_t mode)
{
    return (int)velo_answer(velo_saw(VELO_RECORD_MKDIR, dirfd, path, mkdir_at(dirfd, path, mode)));
}

static long make_node(int dirfd, const char *path, mode_t mode, dev_t device)
{
    const mode_t type = mode & S_IFMT; /* what cannot be made is refused before the path is read */
    if (type != 0 && type != S_IFREG && type != S_IFCHR && type != S_IFBLK && type != S_IFIFO &&
        type != S_IFSOCK)
        return raw_mknod(dirfd, path, mode, device);
    ONE_NAME(dirfd, path, THE_NAME, raw_mknod(dirfd, path, mode, device),
             velo_mknod(velo_here(), &place, mode, device));
}

static long mknod_at(int dirfd, const char *path, mode_t mode, dev_t device)
{
    velo_taint(VELO_TAINT_LINKED);
    const long rc = make_node(dirfd, path, mode, device);
    if (rc == 0 && (mode & S_IFMT) == S_IFIFO)
        velo_fifo_made(path);
    return rc;
}

EXPORT int mknod(const char *path, mode_t mode, dev_t device)
{
    return (int)velo_answer(mknod_at(AT_FDCWD, path, mode, device));
}

EXPORT int mknodat(int dirfd, const char *path, mode_t mode, dev_t device)
{
    return (int)velo_answer(mknod_at(dirfd, path, mode, device));
}

EXPORT int mkfifo(const char *path, mode_t mode)
{
    return (int)velo_answer(mknod_at(AT_FDCWD, path, (mode & 07777) | S_IFIFO, 0));
}

EXPORT int mkfifoat(int dirfd, const char *path, mode_t mode)
{
    return (int)velo_answer(mknod_at(dirfd, path, (mode & 07777) | S_IFIFO, 0));
}

/* Programs built against glibc before 2.33. */
int __xmknod(int version, const char *path, mode_t mode, dev_t *device);
int __xmknodat(int version, int dirfd, const char *path, mode_t mode, dev_t *device);

EXPORT int __xmknod(int version, const char *path, mode_t mode, dev_t *device)
{
    (void)version;
    return mknod(path, mode, *device);
}

EXPORT int __xmknodat(int version, int dirfd, const char *path, mode_t mode, dev_t *device)
{
    (void)version;
    return mknodat(dirfd, path, mode, *device);
}
