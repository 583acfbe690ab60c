/* wrap_notify.c - inotify on hosted files.
 *
 * A regular file is watched where its bytes are: in the tmpfs file that every writer writes, so
 * `tail -f` hears of each append. A directory is watched on disk, where directories, symlinks and
 * whatever is put there appear; files that live in memory only are not announced (README.md). */
#include <sys/inotify.h>

#include "claim.h"
#include "raw.h"

static long watch(int fd, const char *path, uint32_t mask)
{
    struct velo_place place;
    const unsigned walk = (mask & IN_DONT_FOLLOW) != 0 ? VELO_WALK_NOFOLLOW : 0;
    const int claimed = velo_claim(AT_FDCWD, path, walk, &place);
    if (claimed == VELO_NOT_OURS)
        return velo_sys3(SYS_inotify_add_watch, fd, velo_word(path), mask);
    if (claimed < 0)
        return claimed;
    if (place.type != VELO_REGULAR)
        return velo_sys3(SYS_inotify_add_watch, fd, velo_word(place.path), mask);
    char kernel[PATH_MAX];
    const int rc = velo_kernel_path(velo_here(), &place, 0, kernel);
    return rc < 0 ? rc : velo_sys3(SYS_inotify_add_watch, fd, velo_word(kernel), mask);
}

EXPORT int inotify_add_watch(int fd, const char *path, uint32_t mask)
{
    return (int)velo_answer(watch(fd, path, mask));
}
