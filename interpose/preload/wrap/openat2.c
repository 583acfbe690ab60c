/* openat2.c - openat2(2), by syscall(2) or handed over: an open that says how its path may lead.
 *
 * The kernel judges what the flags RESOLVE_ forbid, and where a path leads below another root: the
 * directories and symlinks on the way stand on disk. It is asked for a descriptor (O_PATH) of the file
 * that the path names. When that is missing, perhaps since it is in memory only, it is asked for the
 * longest part that is there. The hosted file found so is then opened as any other. Everything else is
 * the program's own call. The kernel checks arguments, too: by that call on an empty path. */
#include <linux/openat2.h>

#include "kernel/os.h"
#include "preload/program/peers.h"
#include "preload/base/raw.h"
#include "preload/replay/unit.h"
#include "open.h"
#include "openat2.h"
#include "preload/program/fifo.h"

#ifndef RESOLVE_CACHED
#define RESOLVE_CACHED 0x20
#endif

#define UNCACHED(resolve) ((resolve) & ~(__u64)RESOLVE_CACHED)
#define FOLLOWED_MAX 40 /* the kernel's limit */

enum { /* instead of a descriptor; below all errnos, and below the core's (core/tree/outcome.h) */
       OWN_CALL = -7000, /* the program's: nothing of ours is concerned */
       RESOLVE_AGAIN = -7001, /* a symlink was spliced into the text: it is walked from its start */
};

struct search { /* mapped: a thread's stack may be small */
    int dirfd;
    int flags;
    mode_t mode;
    __u64 resolve;
    struct velo_place place;
    char text[PATH_MAX]; /* the path, with the symlinks that led to missing names spliced in */
    char other[PATH_MAX];
};

static long raw_openat2(int dirfd, const char *path, const struct open_how *how, size_t size)
{
    return velo_sys4(SYS_openat2, dirfd, velo_word(path), velo_word(how), size);
}

/* A file in memory counts as cached. */
static long probe(const struct search *s, const char *path, int flags)
{
    const struct open_how how = {.flags = (__u64)(O_PATH | O_CLOEXEC | flags),
                                 .resolve = UNCACHED(s->resolve)};
    return raw_openat2(s->dirfd, path, &how, sizeof how);
}

static bool is_nofollow(const struct search *s)
{
    return (velo_open_walk_flags(s->flags) & VELO_WALK_NOFOLLOW) != 0;
}

/* ---- what is there --------------------------------------------------------------------------- */

/* s->place becomes the hosted place of what `fd` was opened on, by its real path or, in memory, by
 * its identity. */
static bool find_place(struct search *s, int fd)
{
    struct velo_region *region = velo_here();
    char link[VELO_FD_PATH_MAX];
    velo_path_of_fd(VELO_SELF, fd, link);
    const long length = raw_readlink(AT_FDCWD, link, s->other, PATH_MAX - 1);
    s->other[length < 0 ? 0 : length] = 0;
    if (s->other[0] == '/' &&
        velo_claim(AT_FDCWD, s->other, VELO_WALK_NOFOLLOW, &s->place) == VELO_OURS)
        return true;
    const velo_node_id node = velo_node_of_fd(region, fd);
    return velo_is_node(node) && velo_place_of_node(region, node, &s->place) == 0;
}

static long open_found(struct search *s, int fd)
{
    const bool hosted = find_place(s, fd);
    const bool hosted_tmpfile =
        (s->flags & O_TMPFILE) == O_TMPFILE && s->place.at.type == VELO_DIRECTORY;
    raw_close(fd);
    if (!hosted || (s->place.at.type != VELO_REGULAR && !hosted_tmpfile))
        return OWN_CALL;
    return velo_open_hosted(&s->place, s->flags, s->mode);
}

/* ---- what is missing on disk ----------------------------------------------------------------- */

/* The start of the component that ends at `end`, slashes behind it left out. */
static size_t start_of(const char *text, size_t *end)
{
    while (*end > 0 && text[*end - 1] == '/')
        --*end;
    size_t start = *end;
    while (start > 0 && text[start - 1] != '/')
        start--;
    return start;
}

/* The longest directory before a name: its descriptor, with the name from *start to *end; or an
 * error. */
static long nearest(struct search *s, size_t *start, size_t *end)
{
    *start = strlen(s->text);
    for (;;) {
        *end = *start;
        *start = start_of(s->text, end);
        const char kept = s->text[*start];
        s->text[*start] = 0;
        const long fd = probe(s, *start == 0 ? "." : s->text, O_DIRECTORY);
        s->text[*start] = kept;
        if (fd != -ENOENT || *start == 0)
            return fd;
    }
}

/* The name is a symlink to `s->other`: the text becomes what the kernel would read next. */
static long splice_target(struct search *s, size_t start, size_t end, long length)
{
    const size_t tail = strlen(s->text + end), kept = s->other[0] == '/' ? 0 : start;
    if (kept + (size_t)length + tail >= PATH_MAX)
        return -ENAMETOOLONG;
    memmove(s->text + kept + length, s->text + end, tail + 1);
    memcpy(s->text + kept, s->other, (size_t)length);
    return RESOLVE_AGAIN;
}

/* The name at [start, end), in the hosted directory `node`, is no symlink. */
static long open_in(struct search *s, velo_node_id node, size_t start, size_t end)
{
    const char *rest = s->text + end;
    memcpy(s->other, s->text + start, end - start);
    s->other[end - start] = 0;
    const int rc = velo_walk_at(velo_here(), node, s->other,
                                velo_open_walk_flags(s->flags) | VELO_WALK_NOFOLLOW, &s->place);
    if (rc != 0)
        return rc;
    if (*rest == '/' && s->place.at.type == VELO_REGULAR)
        return -ENOTDIR;
    if (rest[strspn(rest, "/")] != 0 || (*rest == '/' && (s->flags & O_CREAT) == 0))
        return -ENOENT;
    if (*rest == '/')
        return OWN_CALL; /* a new name with a slash: refused */
    return velo_open_hosted(&s->place, s->flags, s->mode);
}

/* The kernel finds nothing at s->text. A descriptor, -errno, OWN_CALL or RESOLVE_AGAIN. */
static long open_missing(struct search *s)
{
    size_t start, end;
    const long fd = nearest(s, &start, &end);
    if (fd < 0)
        return fd;
    const char kept = s->text[end];
    s->text[end] = 0;
    const long length = raw_readlink((int)fd, s->text + start, s->other, PATH_MAX - 1);
    s->text[end] = kept;
    const velo_node_id node = velo_node_of_fd(velo_here(), (int)fd);
    raw_close((int)fd);
    if (length > 0)
        return splice_target(s, start, end, length);
    return velo_is_node(node) ? open_in(s, node, start, end) : OWN_CALL;
}

static long search(struct search *s)
{
    for (int followed = 0; followed <= FOLLOWED_MAX; followed++) {
        const long fd = probe(s, s->text, is_nofollow(s) ? O_NOFOLLOW : 0);
        if (fd >= 0)
            return open_found(s, (int)fd);
        if (fd != -ENOENT)
            return fd;
        const long rc = open_missing(s);
        if (rc != RESOLVE_AGAIN)
            return rc;
    }
    return -ELOOP;
}

/* ---- the call -------------------------------------------------------------------------------- */

static long open_resolved(int dirfd, const char *path, const struct open_how *how)
{
    const size_t length = strnlen(path, PATH_MAX);
    const bool made_with_slash =
        (how->flags & O_CREAT) != 0 && length > 0 && path[length - 1] == '/';
    if (length == 0 || length == PATH_MAX || made_with_slash)
        return OWN_CALL; /* refused */
    struct search *s = velo_os_memory(sizeof *s);
    if (s == NULL)
        return -ENOMEM;
    s->dirfd = dirfd;
    s->flags = (int)how->flags;
    s->mode = (mode_t)how->mode;
    s->resolve = how->resolve;
    memcpy(s->text, path, length + 1);
    const long rc = search(s);
    velo_os_unmap(s, sizeof *s);
    return rc;
}

/* What the kernel says of the arguments alone; -ENOENT when all is well. */
static long check(int dirfd, const struct open_how *how, size_t size)
{
    return raw_openat2(dirfd, "", how, size);
}

/* Frames of their own: the place is large. */
__attribute__((noinline)) static bool is_inbound(int dirfd, const char *path, int flags)
{
    struct velo_place place;
    return velo_claim(dirfd, path, velo_open_walk_flags(flags), &place) != VELO_NOT_OURS;
}

__attribute__((noinline)) static long open_as_ever(int dirfd, const char *path, int flags,
                                                   mode_t mode)
{
    struct velo_place place;
    const int claimed = velo_claim(dirfd, path, velo_open_walk_flags(flags), &place);
    if (claimed == VELO_NOT_OURS)
        return OWN_CALL;
    return claimed < 0 ? claimed : velo_open_hosted(&place, flags, mode);
}

/* Below another root the text alone does not say where a path leads. */
static long open_ours(int dirfd, const char *path, const struct open_how *given, size_t size)
{
    if (velo_here() == NULL || size < sizeof *given || velo_cannot_read_text(path) ||
        velo_cannot_read(given, sizeof *given))
        return OWN_CALL;
    const struct open_how how = *given;
    if ((how.resolve & RESOLVE_IN_ROOT) == 0 && !is_inbound(dirfd, path, (int)how.flags))
        return OWN_CALL;
    const long rc = check(dirfd, given, size);
    if (rc != -ENOENT)
        return rc;
    return UNCACHED(how.resolve) == 0 ? open_as_ever(dirfd, path, (int)how.flags, (mode_t)how.mode)
                                      : open_resolved(dirfd, path, &how);
}

long velo_openat2(int dirfd, const char *path, const struct open_how *how, size_t size)
{
    const long rc = open_ours(dirfd, path, how, size);
    const bool readable = !velo_cannot_read(how, sizeof how->flags);
    if (rc != OWN_CALL) {
        velo_saw_open(dirfd, path, readable ? (int)how->flags : 0, rc);
        return velo_answer(rc);
    }
    const long fd = raw_openat2(dirfd, path, how, size);
    velo_saw_open(dirfd, path, readable ? (int)how->flags : 0, fd);
    if (fd >= 0)
        velo_maybe_fifo_opened((int)fd, path, (int)how->flags);
    return velo_answer(fd);
}
