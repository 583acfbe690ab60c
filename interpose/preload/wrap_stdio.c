/* wrap_stdio.c - opening streams. A stream is always libc's own; only the descriptor below it is
 * opened by our rules, because libc opens with calls that nobody can stand in front of. */
#include <stdio.h>
#include <stdlib.h>
#include <spawn.h>
#include <unistd.h>

#include "hint.h"
#include "raw.h"
#include "wrap_open.h"

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

EXPORT FILE *fopen(const char *restrict path, const char *restrict mode)
{
    struct velo_place place;
    const int flags = flags_of(mode);
    if (flags < 0)
        return NEXT(fopen)(path, mode);
    const int claimed = velo_claim(AT_FDCWD, path, velo_open_walk_flags(flags), &place);
    if (claimed == VELO_NOT_OURS)
        return NEXT(fopen)(path, mode);
    const int fd = claimed < 0 ? claimed : velo_open_hosted(&place, flags, 0666);
    if (velo_answer(fd) < 0)
        return NULL;
    if ((flags & O_APPEND) != 0)
        velo_sys3(SYS_lseek, fd, 0, SEEK_END); /* where fopen starts and fdopen does not */
    FILE *stream = NEXT(fdopen)(fd, mode);
    if (stream == NULL)
        raw_close(fd);
    return stream;
}
ALIAS(fopen64, fopen);

/* libc must open the file itself, so it is given the path of the bytes; `held` keeps them there. */
EXPORT FILE *freopen(const char *restrict path, const char *restrict mode, FILE *restrict stream)
{
    struct velo_place place;
    const int flags = flags_of(mode);
    const int claimed = path == NULL || flags < 0
                            ? VELO_NOT_OURS
                            : velo_claim(AT_FDCWD, path, velo_open_walk_flags(flags), &place);
    if (claimed == VELO_NOT_OURS)
        return NEXT(freopen)(path, mode, stream);
    const int held =
        claimed < 0 ? claimed : velo_open_hosted(&place, flags | O_CLOEXEC, 0666);
    if (held < 0) { /* as libc: the old file is closed all the same */
        fclose(stream);
        velo_answer(held);
        return NULL;
    }
    char link[32], plain[8] = {mode[0], (flags & O_ACCMODE) == O_RDWR ? '+' : 0};
    snprintf(link, sizeof link, "/proc/self/fd/%d", held);
    if ((flags & O_CLOEXEC) != 0)
        plain[strlen(plain)] = 'e';
    FILE *again = NEXT(freopen)(link, plain, stream);
    raw_close(held);
    if (again != NULL)
        velo_hint_open(again->_fileno, flags);
    return again;
}
ALIAS(freopen64, freopen);

/* The child of posix_spawn opens without us. The file is made now, and named by its bytes. */
EXPORT int posix_spawn_file_actions_addopen(posix_spawn_file_actions_t *restrict actions, int fd,
                                            const char *restrict path, int flags, mode_t mode)
{
    struct velo_place place;
    char kernel[PATH_MAX];
    const int claimed = velo_claim(AT_FDCWD, path, velo_open_walk_flags(flags), &place);
    if (claimed != VELO_OURS || (place.type != VELO_REGULAR && place.type != VELO_NONE))
        return NEXT(posix_spawn_file_actions_addopen)(actions, fd, path, flags, mode);
    const int held = velo_open(velo_here(), &place, flags | O_CLOEXEC, mode);
    if (held < 0) /* the child would fail to open it; let it, with its own error */
        return NEXT(posix_spawn_file_actions_addopen)(actions, fd, path, flags, mode);
    const bool writes = (flags & O_ACCMODE) != O_RDONLY;
    int rc = velo_claim(AT_FDCWD, path, 0, &place);
    if (rc == VELO_OURS)
        rc = velo_kernel_path(velo_here(), &place, writes, kernel);
    raw_close(held);
    if (rc < 0)
        return -rc;
    return NEXT(posix_spawn_file_actions_addopen)(actions, fd, kernel,
                                                  flags & ~(O_CREAT | O_EXCL | O_NOFOLLOW), mode);
}
