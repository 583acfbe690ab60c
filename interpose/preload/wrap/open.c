/* open.c - open, its spellings, and temporary files.
 *
 * A hosted regular file is opened by the core, which gives a real kernel descriptor; a hosted
 * directory, symlink or other thing stands on disk and is opened there. */
#include "open.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "preload/write/credit.h"
#include "preload/base/raw.h"
#include "preload/replay/said.h"
#include "preload/program/peers.h"
#include "preload/program/fifo.h"

#define TEMPORARY_TRIES 1000

/* A directory, or what else stands on disk. The open of a FIFO may wait, be interrupted, and be
 * cancelled, so it is libc's. As what the program said where `path` does not lead there: file.c. */
int velo_open_standing(const struct velo_place *place, int flags, mode_t mode)
{
    const int saved = errno;
    int fd = NEXT(openat)(AT_FDCWD, place->text.path, flags, mode);
    if (fd < 0 && (errno == EACCES || errno == ENOENT) && place->asked.given != NULL)
        fd = NEXT(openat)(place->asked.base, place->asked.given, flags, mode);
    const int rc = fd < 0 ? -errno : fd;
    errno = saved;
    if (place->at.type == VELO_OTHER)
        velo_fifo_opened(fd, place->text.path);
    return rc;
}

int velo_open_hosted(struct velo_place *place, int flags, mode_t mode)
{
    if ((flags & O_TMPFILE) == O_TMPFILE && place->at.type == VELO_DIRECTORY) {
        const int hosted_tmpfile = velo_open_tmpfile(velo_here(), place, flags, mode);
        velo_write_credit_open(hosted_tmpfile, flags);
        return hosted_tmpfile;
    }
    /* The kernel refuses to create a name with a slash before it looks what is there. */
    if ((flags & O_CREAT) != 0 && place->asked.must_be_directory && place->asked.dots == 0)
        return place->asked.too_long ? -ENAMETOOLONG : -EISDIR;
    if (place->at.type != VELO_REGULAR && place->at.type != VELO_NONE && (flags & O_CREAT) == 0)
        return velo_open_standing(place, flags, mode);
    if (place->at.type == VELO_OTHER && (flags & O_EXCL) == 0) {
        const int fd = velo_open_standing(place, flags & ~O_CREAT, mode);
        if (fd != -ENOENT)
            return fd;
    }
    if (place->at.type == VELO_REGULAR && (flags & O_DIRECTORY) != 0)
        return -ENOTDIR;
    /* For a program that is about to run; or to be changed in place, also by others that open it. */
    place->asked.unmovable =
        velo_vfork_child || (place->at.type == VELO_REGULAR && (flags & O_TRUNC) == 0);
    const int fd = velo_open(velo_here(), place, flags, mode);
    velo_write_credit_open(fd, flags);
    return fd;
}

/* With O_PATH the kernel looks at few others. */
#define FLAGS_OF_A_PATH (O_PATH | O_CLOEXEC | O_DIRECTORY | O_NOFOLLOW)

/* open is a place where a thread can be cancelled, also when it is not the kernel's. */
static int open_claimed(int claimed, struct velo_place *place, int flags, mode_t mode)
{
    velo_point_of_cancellation();
    return (int)velo_answer(claimed < 0 ? claimed : velo_open_hosted(place, flags, mode));
}

static int opened_outside(int fd, const char *path, int flags)
{
    velo_maybe_fifo_opened(fd, path, flags);
    return fd;
}

static int seen(int dirfd, const char *path, int flags, int fd)
{
    if (!velo_unit_opens_terminal(fd, path, flags))
        velo_saw_open(dirfd, path, flags, fd < 0 ? -errno : fd);
    return fd;
}

int velo_flags_as_seen(int dirfd, const char *path, int flags, const struct velo_place *place)
{
    if (__builtin_expect(velo_unit == NULL, 1) || (flags & (O_CREAT | O_EXCL | O_TRUNC)) != O_CREAT)
        return flags;
    struct stat stat; /* a filter may allow a program this call and no other that would tell */
    const bool absent = place != NULL ? place->at.type == VELO_NONE && !place->asked.through_link
                                      : raw_statat(dirfd, path, &stat, 0) == -ENOENT;
    return absent ? flags | O_EXCL : flags;
}

static int open_at(int dirfd, const char *path, int flags, mode_t mode)
{
    struct velo_place place;
    if ((flags & O_PATH) != 0)
        flags &= FLAGS_OF_A_PATH;
    const int bad = (flags & (O_CREAT | O_DIRECTORY)) == (O_CREAT | O_DIRECTORY);
    const int claimed =
        bad ? VELO_NOT_OURS : velo_claim(dirfd, path, velo_open_walk_flags(flags), &place);
    const int told = velo_flags_as_seen(dirfd, path, flags, claimed == VELO_OURS ? &place : NULL);
    const int fd = claimed == VELO_NOT_OURS
                       ? opened_outside(NEXT(openat)(dirfd, path, flags, mode), path, flags)
                       : open_claimed(claimed, &place, flags, mode);
    return seen(dirfd, path, told, fd);
}

static inline bool wants_mode(int flags)
{
    return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
}

#define MODE_AFTER(last)                                                                           \
    mode_t mode = 0;                                                                               \
    if (wants_mode(flags)) {                                                                       \
        va_list arguments;                                                                         \
        va_start(arguments, last);                                                                 \
        mode = va_arg(arguments, mode_t);                                                          \
        va_end(arguments);                                                                         \
    }

EXPORT int open(const char *path, int flags, ...)
{
    MODE_AFTER(flags)
    return open_at(AT_FDCWD, path, flags, mode);
}
ALIAS(open64, open);
ALIAS(__open, open);
ALIAS(__open64, open);

EXPORT int openat(int dirfd, const char *path, int flags, ...)
{
    MODE_AFTER(flags)
    return open_at(dirfd, path, flags, mode);
}
ALIAS(openat64, openat);

/* What _FORTIFY_SOURCE makes of calls without a mode. */
int __open_2(const char *path, int flags);
int __openat_2(int dirfd, const char *path, int flags);

EXPORT int __open_2(const char *path, int flags)
{
    return wants_mode(flags) ? NEXT(__open_2)(path, flags) : open_at(AT_FDCWD, path, flags, 0);
}
ALIAS(__open64_2, __open_2);

EXPORT int __openat_2(int dirfd, const char *path, int flags)
{
    return wants_mode(flags) ? NEXT(__openat_2)(dirfd, path, flags)
                             : open_at(dirfd, path, flags, 0);
}
ALIAS(__openat64_2, __openat_2);

EXPORT int creat(const char *path, mode_t mode)
{
    struct velo_place place;
    const int flags = O_CREAT | O_WRONLY | O_TRUNC;
    const int claimed = velo_claim(AT_FDCWD, path, velo_open_walk_flags(flags), &place);
    const int fd = claimed == VELO_NOT_OURS ? opened_outside(NEXT(creat)(path, mode), path, flags)
                                            : open_claimed(claimed, &place, flags, mode);
    return seen(AT_FDCWD, path, flags, fd);
}
ALIAS(creat64, creat);

EXPORT int name_to_handle_at(int dirfd, const char *path, struct file_handle *handle, int *mount,
                             int flags)
{
    struct velo_place place;
    const unsigned walk = (flags & AT_SYMLINK_FOLLOW) != 0 ? 0 : VELO_WALK_NOFOLLOW;
    const int claimed = velo_claim(dirfd, path, walk, &place);
    if (claimed == VELO_OURS && place.at.type != VELO_NONE)
        return (int)velo_answer(-EOPNOTSUPP); /* a handle would outlive the file's place */
    return NEXT(name_to_handle_at)(dirfd, path, handle, mount, flags);
}

/* ---- temporary names ------------------------------------------------------------------------- */

/* The six X before the last `suffix` characters, or NULL. */
static char *find_blank(char *template, int suffix)
{
    const size_t length = strlen(template);
    if (suffix < 0 || length < 6 + (size_t)suffix)
        return NULL;
    char *blank = template + length - 6 - suffix;
    return memcmp(blank, "XXXXXX", 6) == 0 ? blank : NULL;
}

static void fill_blank(char *blank)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    uint64_t random = 0;
    if (velo_sys3(SYS_getrandom, velo_word(&random), sizeof random, GRND_NONBLOCK) < 0) {
        struct timespec now = {0, 0};
        velo_sys2(SYS_clock_gettime, CLOCK_MONOTONIC, velo_word(&now));
        random = (uint64_t)now.tv_nsec * 0x9e3779b97f4a7c15u + (uintptr_t)blank;
    }
    for (int i = 0; i < 6; i++, random /= 62)
        blank[i] = letters[random % 62];
}

enum temporary { TEMPORARY_FILE, TEMPORARY_DIRECTORY, TEMPORARY_NAME };

static int try_temporary(const char *path, enum temporary kind, int flags)
{
    struct velo_place place;
    const int claimed = velo_claim(AT_FDCWD, path, VELO_WALK_NOFOLLOW, &place);
    if (claimed <= 0)
        return claimed < 0 ? claimed : -EINVAL; /* was ours a moment ago */
    if (kind == TEMPORARY_DIRECTORY)
        return claimed == VELO_OURS ? velo_mkdir(velo_here(), &place, 0700)
                                    : (int)raw_mkdir(AT_FDCWD, place.text.path, 0700);
    if (kind == TEMPORARY_FILE)
        return velo_open_hosted(&place, (flags & ~O_ACCMODE) | O_RDWR | O_CREAT | O_EXCL, 0600);
    const bool free_name = claimed == VELO_OURS
                               ? place.at.type == VELO_NONE
                               : raw_access(AT_FDCWD, place.text.path, F_OK) == -ENOENT;
    return free_name ? 0 : -EEXIST;
}

/* A descriptor, or 0, or -errno; the template keeps its last try, as libc's does. */
static int make_temporary(char *template, int suffix, enum temporary kind, int flags)
{
    char *blank = find_blank(template, suffix);
    if (blank == NULL)
        return -EINVAL;
    int rc = -EEXIST;
    for (int attempt = 0; attempt < TEMPORARY_TRIES && rc == -EEXIST; attempt++) {
        fill_blank(blank);
        rc = try_temporary(template, kind, flags);
    }
    return rc;
}

static bool is_ours(const char *template)
{
    struct velo_place place;
    return velo_claim(AT_FDCWD, template, VELO_WALK_NOFOLLOW, &place) != VELO_NOT_OURS;
}

EXPORT int mkostemps(char *template, int suffix, int flags)
{
    const int fd = !is_ours(template)
                       ? NEXT(mkostemps)(template, suffix, flags)
                       : (int)velo_answer(make_temporary(template, suffix, TEMPORARY_FILE, flags));
    return seen(AT_FDCWD, template, O_RDWR | O_CREAT | O_EXCL, fd);
}
ALIAS(mkostemps64, mkostemps);

EXPORT int mkstemp(char *template)
{
    return mkostemps(template, 0, 0);
}
ALIAS(mkstemp64, mkstemp);

EXPORT int mkostemp(char *template, int flags)
{
    return mkostemps(template, 0, flags);
}
ALIAS(mkostemp64, mkostemp);

EXPORT int mkstemps(char *template, int suffix)
{
    return mkostemps(template, suffix, 0);
}
ALIAS(mkstemps64, mkstemps);

EXPORT char *mkdtemp(char *template)
{
    velo_taint(VELO_TAINT_LINKED); /* its name is another one each time */
    if (!is_ours(template))
        return NEXT(mkdtemp)(template);
    return velo_answer(make_temporary(template, 0, TEMPORARY_DIRECTORY, 0)) < 0 ? NULL : template;
}

EXPORT char *mktemp(char *template)
{
    if (!is_ours(template))
        return NEXT(mktemp)(template);
    if (velo_answer(make_temporary(template, 0, TEMPORARY_NAME, 0)) < 0)
        template[0] = 0;
    return template;
}
