/* stdio.c - opening streams. A stream is always libc's own; only the descriptor below it is
 * opened by our rules, because libc opens with calls in front of which no library can stand. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "preload/write/credit.h"
#include "preload/base/raw.h"
#include "preload/replay/printed.h"
#include "preload/replay/said.h"
#include "preload/program/peers.h"
#include "open.h"
#include "io.h"
#include "preload/program/fifo.h"

/* The flags of open for a mode of fopen, or -1 when it is none. */
static int flags_of(const char *mode)
{
    int flags = O_RDONLY;
    if (mode[0] == 'w')
        flags = O_WRONLY | O_CREAT | O_TRUNC;
    else if (mode[0] == 'a')
        flags = O_WRONLY | O_CREAT | O_APPEND;
    else if (mode[0] != 'r')
        return -1;
    for (int i = 1; i < 7 && mode[i] != 0 && mode[i] != ','; i++) {
        if (mode[i] == '+')
            flags = (flags & ~O_ACCMODE) | O_RDWR;
        else if (mode[i] == 'x')
            flags |= O_EXCL;
        else if (mode[i] == 'e')
            flags |= O_CLOEXEC;
    }
    return flags;
}

#define MODE_MAX 64

static bool converts(const char *mode)
{
    return strstr(mode, ",ccs=") != NULL;
}

/* The file is there by now; an "x" would be refused. */
static const char *without_x(const char *mode, char out[MODE_MAX])
{
    size_t length = 0;
    bool flags = true; /* before the comma */
    for (; *mode != 0 && length < MODE_MAX - 1; mode++) {
        flags = flags && *mode != ',';
        if (!flags || *mode != 'x')
            out[length++] = *mode;
    }
    out[length] = 0;
    return out;
}

/* What fopen(..., "e") notes in a stream for a freopen to come, and fdopen does not. */
#define KEEPS_CLOEXEC 64

/* Only an open of libc's own knows ",ccs=": of `fd`, which has done to the file what the mode says. The
 * stream gets its number. NULL with errno. */
static FILE *open_converting(int fd, const char *mode)
{
    char link[VELO_FD_PATH_MAX], plain[MODE_MAX];
    velo_path_of_fd(VELO_SELF, fd, link);
    FILE *stream = NEXT(fopen)(link, without_x(mode, plain));
    const int saved = errno;
    if (stream == NULL) {
        raw_close(fd);
    } else {
        velo_sys3(SYS_dup3, stream->_fileno, fd, strchr(plain, 'e') != NULL ? O_CLOEXEC : 0);
        raw_close(stream->_fileno);
        stream->_fileno = fd;
    }
    errno = saved;
    return stream;
}

static FILE *open_plain(int fd, const char *mode, int flags)
{
    if ((flags & (O_APPEND | O_ACCMODE)) == (O_APPEND | O_WRONLY))
        velo_sys3(SYS_lseek, fd, 0, SEEK_END); /* where fopen starts and fdopen does not */
    FILE *stream = NEXT(fdopen)(fd, mode);
    if (stream == NULL)
        raw_close(fd);
    else if ((flags & O_CLOEXEC) != 0)
        stream->_flags2 |= KEEPS_CLOEXEC;
    return stream;
}

static FILE *opened_outside(FILE *stream, const char *path, int flags)
{
    if (stream != NULL)
        velo_maybe_fifo_opened(stream->_fileno, path, flags);
    return stream;
}

/* By "/dev/stderr", or a number: velo does not see what libc writes there. */
static FILE *may_say(FILE *stream, int flags)
{
    if (stream != NULL && (flags & O_ACCMODE) != O_RDONLY)
        velo_unit_wrote(stream->_fileno);
    return stream;
}

EXPORT FILE *fdopen(int fd, const char *mode)
{
    velo_unit_reads(fd);
    return may_say(NEXT(fdopen)(fd, mode), flags_of(mode));
}
ALIAS(_IO_fdopen, fdopen);

EXPORT FILE *fopen(const char *restrict path, const char *restrict mode)
{
    struct velo_place place;
    const int flags = flags_of(mode);
    if (flags < 0)
        return NEXT(fopen)(path, mode);
    const int claimed = velo_claim(AT_FDCWD, path, velo_open_walk_flags(flags), &place);
    const int told =
        velo_flags_as_seen(AT_FDCWD, path, flags, claimed == VELO_OURS ? &place : NULL);
    if (claimed == VELO_NOT_OURS) {
        FILE *stream = opened_outside(NEXT(fopen)(path, mode), path, flags);
        velo_saw_open(AT_FDCWD, path, told, stream == NULL ? -errno : 0);
        return may_say(stream, flags);
    }
    const int fd = claimed < 0 ? claimed : velo_open_hosted(&place, flags, 0666);
    velo_saw_open(AT_FDCWD, path, told, fd);
    if (velo_answer(fd) < 0)
        return NULL;
    return may_say(converts(mode) ? open_converting(fd, mode) : open_plain(fd, mode, flags), flags);
}
ALIAS(fopen64, fopen);
ALIAS(_IO_fopen, fopen);

/* The file's descriptor takes the place of the one that libc gave the stream. */
static FILE *reopen_under(FILE *stream, int fd, int flags)
{
    const int number = stream->_fileno;
    const long closes = velo_sys3(SYS_fcntl, number, F_GETFD, 0) & FD_CLOEXEC;
    velo_sys3(SYS_dup3, fd, number, closes != 0 ? O_CLOEXEC : 0);
    raw_close(fd);
    if ((flags & (O_APPEND | O_ACCMODE)) == (O_APPEND | O_WRONLY))
        velo_sys3(SYS_lseek, number, 0, SEEK_END);
    stream->_offset = -1; /* not known: libc asks when it needs it */
    velo_write_credit_open(number, flags);
    return stream;
}

/* libc writes what is left to the old file, opens the new one, and closes the old by giving the new
 * one its number.  So the first is left to it, with a file that does not matter; the old one is kept
 * open until ours is. */
static FILE *reopen_hosted(struct velo_place *place, int error, const char *mode, int flags,
                           FILE *stream)
{
    char link[VELO_FD_PATH_MAX] = "/dev/null", plain[MODE_MAX];
    const long old = velo_sys3(SYS_fcntl, stream->_fileno, F_DUPFD_CLOEXEC, 0);
    FILE *again = NEXT(freopen)(link, without_x(mode, plain), stream);
    int fd = -errno;
    if (again != NULL)
        fd = error < 0 ? error : velo_open_hosted(place, flags | O_CLOEXEC, 0666);
    if (fd >= 0 && converts(mode)) {
        velo_path_of_fd(VELO_SELF, fd, link);
        again = NEXT(freopen)(link, plain, again);
        raw_close(fd);
    } else if (fd >= 0) {
        reopen_under(again, fd, flags);
    } else if (again != NULL) { /* which leaves the stream as libc does */
        again = NEXT(freopen)("", plain, again);
    }
    if (old >= 0)
        raw_close((int)old);
    if (fd < 0)
        velo_answer(fd);
    return again;
}

EXPORT int fclose(FILE *stream)
{
    const int fd = stream->_fileno;
    velo_unit_closes(stream);
    const velo_node_id node = velo_closing(fd);
    if (velo_write_credit(fd) != 0 && velo_is_node(node))
        velo_write_credit_set(fd, 0);
    const int rc = NEXT(fclose)(stream);
    velo_closed(node);
    return rc;
}
ALIAS(_IO_fclose, fclose);

EXPORT FILE *freopen(const char *restrict path, const char *restrict mode, FILE *restrict stream)
{
    struct velo_place place;
    char link[VELO_FD_PATH_MAX];
    const int flags = flags_of(mode);
    const char *meant = path;
    velo_unit_closes(stream);
    if (path == NULL && flags >= 0 && stream->_fileno >= 0) { /* the same file, in another mode */
        velo_path_of_fd(VELO_SELF, stream->_fileno, link);
        meant = link;
    }
    const int claimed = meant == NULL || flags < 0
                            ? VELO_NOT_OURS
                            : velo_claim(AT_FDCWD, meant, velo_open_walk_flags(flags), &place);
    if (claimed == VELO_NOT_OURS || (claimed < 0 && path == NULL)) {
        FILE *again = NEXT(freopen)(path, mode, stream);
        if (path != NULL)
            velo_saw_open(AT_FDCWD, path, flags, again == NULL ? -errno : 0);
        return may_say(path == NULL ? again : opened_outside(again, path, flags), flags);
    }
    flockfile(stream); /* between the two files another thread would write to neither */
    FILE *again = reopen_hosted(&place, claimed, mode, flags, stream);
    velo_saw_open(AT_FDCWD, path != NULL ? path : place.text.path, flags,
                  again == NULL ? -errno : fileno(again));
    funlockfile(stream);
    return may_say(again, flags);
}
ALIAS(freopen64, freopen);

/* ---- far away (wrap/io.c) -------------------------------------------------------------------- */

EXPORT int fseeko(FILE *stream, off_t offset, int whence)
{
    if (__builtin_expect(offset > VELO_FAR_STEP_BYTES, 0)) {
        const int refused = velo_seeks_far(stream->_fileno, offset, whence);
        if (refused != 0)
            return (int)velo_answer(refused);
    }
    return NEXT(fseeko)(stream, offset, whence);
}
ALIAS(fseeko64, fseeko);
ALIAS(fseek, fseeko);

EXPORT int fsetpos(FILE *stream, const fpos_t *position)
{
    if (__builtin_expect(position->__pos > VELO_FAR_STEP_BYTES, 0)) {
        const int refused = velo_seeks_far(stream->_fileno, position->__pos, SEEK_SET);
        if (refused != 0)
            return (int)velo_answer(refused);
    }
    return NEXT(fsetpos)(stream, position);
}
ALIAS(fsetpos64, fsetpos);
