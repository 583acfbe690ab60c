/* xattr.c - extended attributes: they live with the bytes, in the file that holds them now.
 *
 * Attributes of a hosted regular file are those of its tmpfs file (or of its disk file while that
 * is where the bytes are); directories and symlinks have theirs on disk. */
#include <sys/xattr.h>

#include "preload/path/claim.h"
#include "preload/base/raw.h"
#include "preload/replay/unit.h"
#include "xattr.h"

/* The path to give to the l...xattr call. 0 with *there set (place->text.path, of a regular file where
 * its bytes are, or `path`), or -errno. */
static int find(int dirfd, const char *path, unsigned walk_flags, int writes,
                struct velo_place *place, const char **there)
{
    const int claimed = velo_claim(dirfd, path, walk_flags, place);
    *there = path;
    if (claimed <= 0)
        return claimed;
    *there = place->text.path;
    if (place->at.type != VELO_REGULAR && place->at.type != VELO_NONE)
        return 0;
    if (place->at.type == VELO_NONE)
        return -ENOENT;
    const int rc = velo_kernel_path(velo_here(), place, writes, place->text.path);
    return rc < 0 ? rc : 0;
}

/* The tmpfs file's attributes are changed: a new version to put on disk. */
static void changed(const char *there)
{
    const long fd = raw_openat(AT_FDCWD, there, O_PATH | O_CLOEXEC | O_NOFOLLOW, 0);
    if (fd < 0)
        return;
    velo_descriptor_changed(velo_here(), (int)fd, 0);
    raw_close((int)fd);
}

static void place_changed(const struct velo_place *place, const char *there)
{
    if (place->at.type == VELO_REGULAR)
        changed(there);
    else /* an ACL changes the mode */
        velo_place_changed(velo_here(), place);
}

/* As the disk does, where the file is to be in the end; -errno: it would not take that. */
static int fits(velo_node_id node, int fd, const char *name, const void *value, size_t size)
{
    return velo_is_node(node)
               ? velo_xattr_fits(velo_here(), node, fd, &(struct velo_attribute){name, value, size})
               : 0;
}

static int fits_at(const struct velo_place *place, const char *there, const char *name,
                   const void *value, size_t size)
{
    enum {
        SMALL_BYTES = 512
    }; /* as the first, any disk takes it; an open is announced to watchers */
    if (place->at.type != VELO_REGULAR || value == NULL ||
        (size <= SMALL_BYTES && velo_sys3(SYS_llistxattr, velo_word(there), 0, 0) == 0))
        return 0;
    const long fd = raw_openat(AT_FDCWD, there, O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0);
    if (fd < 0)
        return 0;
    const int rc = fits(place->at.node, (int)fd, name, value, size);
    raw_close((int)fd);
    return rc;
}

/* Names, values and flags that are none are found before the path is looked for, or after, as the kernel is old or new:
 * its answer for a path that leads nowhere. */
static long refused(long number, long rc, const char *name, const void *value, size_t size,
                    int flags)
{
    const long asked =
        velo_sys5(number, velo_word(""), velo_word(name), velo_word(value), (long)size, flags);
    return asked == -ENOENT ? rc : asked;
}

/* `walk` tells a symlink at the end from its target; either way the found path is final, except
 * when it is the program's own text: then its own call is made. */
static long read_attribute(const char *path, unsigned walk, long plain, long final,
                           const char *name, void *value, size_t size)
{
    struct velo_place place;
    const char *there;
    const int rc = find(AT_FDCWD, path, walk, 0, &place, &there);
    const bool lists = final == SYS_llistxattr;
    if (rc != 0)
        return lists ? rc : refused(plain, rc, name, value, size, 0);
    const long number = there == path ? plain : final;
    if (lists)
        return velo_sys3(number, velo_word(there), velo_word(value), size);
    return velo_sys4(number, velo_word(there), velo_word(name), velo_word(value), size);
}

static long write_attribute(const char *path, unsigned walk, long plain, long final,
                            const char *name, const void *value, size_t size, int flags)
{
    struct velo_place place;
    const char *there;
    int rc = find(AT_FDCWD, path, walk, 1, &place, &there);
    if (rc != 0)
        return refused(plain, rc, name, value, size, flags);
    if (there != path) {
        rc = fits_at(&place, there, name, value, size);
        if (rc != 0)
            return rc;
    }
    rc = (int)velo_sys5(there == path ? plain : final, velo_word(there), velo_word(name),
                        velo_word(value), size, flags);
    if (rc != 0 || there == path)
        return rc;
    place_changed(&place, there);
    return 0;
}

/* An access ACL of owner, group and others alone is a mode: `install` sets it so. */
static void taint_by(const char *name, size_t size)
{
    enum { PLAIN_BYTES = 4 + 3 * 8 }; /* acl(5): a version and three entries */
    if (velo_cannot_read_text(name) || strcmp(name, "system.posix_acl_access") != 0 ||
        size != PLAIN_BYTES)
        velo_taint(VELO_TAINT_LINKED);
}

EXPORT ssize_t getxattr(const char *path, const char *name, void *value, size_t size)
{
    velo_taint(VELO_TAINT_LINKED);
    return velo_answer(read_attribute(path, 0, SYS_getxattr, SYS_lgetxattr, name, value, size));
}

EXPORT ssize_t lgetxattr(const char *path, const char *name, void *value, size_t size)
{
    velo_taint(VELO_TAINT_LINKED);
    return velo_answer(
        read_attribute(path, VELO_WALK_NOFOLLOW, SYS_lgetxattr, SYS_lgetxattr, name, value, size));
}

EXPORT ssize_t listxattr(const char *path, char *list, size_t size)
{
    velo_taint(VELO_TAINT_LINKED);
    return velo_answer(read_attribute(path, 0, SYS_listxattr, SYS_llistxattr, NULL, list, size));
}

EXPORT ssize_t llistxattr(const char *path, char *list, size_t size)
{
    velo_taint(VELO_TAINT_LINKED);
    return velo_answer(
        read_attribute(path, VELO_WALK_NOFOLLOW, SYS_llistxattr, SYS_llistxattr, NULL, list, size));
}

EXPORT int setxattr(const char *path, const char *name, const void *value, size_t size, int flags)
{
    velo_taint(VELO_TAINT_LINKED);
    return (int)velo_answer(
        write_attribute(path, 0, SYS_setxattr, SYS_lsetxattr, name, value, size, flags));
}

EXPORT int lsetxattr(const char *path, const char *name, const void *value, size_t size, int flags)
{
    velo_taint(VELO_TAINT_LINKED);
    return (int)velo_answer(write_attribute(path, VELO_WALK_NOFOLLOW, SYS_lsetxattr, SYS_lsetxattr,
                                            name, value, size, flags));
}

EXPORT int removexattr(const char *path, const char *name)
{
    velo_taint(VELO_TAINT_LINKED);
    return (int)velo_answer(
        write_attribute(path, 0, SYS_removexattr, SYS_lremovexattr, name, NULL, 0, 0));
}

EXPORT int lremovexattr(const char *path, const char *name)
{
    velo_taint(VELO_TAINT_LINKED);
    return (int)velo_answer(write_attribute(path, VELO_WALK_NOFOLLOW, SYS_lremovexattr,
                                            SYS_lremovexattr, name, NULL, 0, 0));
}

/* By descriptor the kernel has the right file already; only the change must be noticed. */
EXPORT int fsetxattr(int fd, const char *name, const void *value, size_t size, int flags)
{
    taint_by(name, size);
    struct velo_region *region = velo_here();
    long rc = region == NULL ? 0 : fits(velo_node_of_fd(region, fd), fd, name, value, size);
    if (rc == 0)
        rc = velo_sys5(SYS_fsetxattr, fd, velo_word(name), velo_word(value), size, flags);
    if (rc == 0 && region != NULL)
        velo_descriptor_changed(velo_here(), fd, 0);
    return (int)velo_answer(rc);
}

/* An attribute that was found is no fact of a step. An absence is taken to last, unless the program asked for a
 * user's attribute by name: `cp -a` asks each file for all. */
static ssize_t found(ssize_t size, const char *name)
{
    if (size > 0 || (!velo_cannot_read_text(name) && strncmp(name, "user.", 5) == 0))
        velo_taint(VELO_TAINT_LINKED);
    return velo_answer(size);
}

EXPORT ssize_t fgetxattr(int fd, const char *name, void *value, size_t size)
{
    return found(velo_sys4(SYS_fgetxattr, fd, velo_word(name), velo_word(value), size), name);
}

EXPORT ssize_t flistxattr(int fd, char *list, size_t size)
{
    return found(velo_sys3(SYS_flistxattr, fd, velo_word(list), size), "");
}

EXPORT int fremovexattr(int fd, const char *name)
{
    velo_taint(VELO_TAINT_LINKED);
    const long rc = velo_sys2(SYS_fremovexattr, fd, velo_word(name));
    if (rc == 0 && velo_here() != NULL)
        velo_descriptor_changed(velo_here(), fd, 0);
    return (int)velo_answer(rc);
}

/* ---- newer kernels' calls -------------------------------------------------------------------- */

struct arguments { /* of setxattrat and getxattrat, as the kernel reads them */
    uint64_t value;
    uint32_t size, flags;
};

static long fits_newer(const struct velo_place *place, const char *there, const char *name,
                       const struct arguments *given)
{
    if (velo_cannot_read(given, sizeof *given))
        return 0; /* the kernel says so */
    return fits_at(place, there, name, (const void *)(uintptr_t)given->value, given->size);
}

long velo_xattr_at(long number, int dirfd, const char *path, unsigned flags, const void *fourth,
                   const void *fifth, size_t size)
{
    velo_taint(VELO_TAINT_LINKED);
    const bool writes = number == SYS_setxattrat || number == SYS_removexattrat;
    const long a = velo_word(fourth), b = velo_word(fifth);
    const unsigned named = flags & ~(unsigned)AT_EMPTY_PATH;
    struct velo_region *region = velo_here();
    if (region == NULL || (named != flags && (path == NULL || velo_is_empty(path)))) {
        const long rc = velo_sys6(number, dirfd, velo_word(path), flags, a, b, (long)size);
        if (rc == 0 && writes && region != NULL)
            velo_descriptor_changed(region, dirfd, 0);
        return velo_answer(rc);
    }
    struct velo_place place;
    const char *there;
    const unsigned walk = (flags & AT_SYMLINK_NOFOLLOW) != 0 ? VELO_WALK_NOFOLLOW : 0;
    long rc = find(dirfd, path, walk, writes, &place, &there);
    if (rc == 0 && there != path && number == SYS_setxattrat)
        rc = fits_newer(&place, there, fourth, fifth);
    if (rc != 0) { /* what the kernel says of the other arguments comes first */
        const long asked = velo_sys6(number, AT_FDCWD, velo_word(""), named, a, b, (long)size);
        return velo_answer(asked == -ENOENT ? rc : asked);
    }
    const unsigned final = there == path ? flags : named | AT_SYMLINK_NOFOLLOW;
    rc = velo_sys6(number, there == path ? dirfd : AT_FDCWD, velo_word(there), final, a, b,
                   (long)size);
    if (rc == 0 && writes && there != path)
        place_changed(&place, there);
    return velo_answer(rc);
}
