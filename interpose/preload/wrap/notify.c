/* notify.c - inotify and fanotify on hosted files.
 *
 * Files that are watched leave memory first and stay on disk as long as the watcher lives
 * (core/presence/watch.c). So the kernel announces them as in a plain directory. A regular file that another
 * process has open at that moment is watched where its bytes are: in the tmpfs file that its writer writes. */
#include <sys/fanotify.h>
#include <sys/inotify.h>

#include "preload/path/claim.h"
#include "preload/write/credit.h"
#include "preload/base/raw.h"
#include "preload/write/relocate.h"

/* A file that only we have open, as a program that follows a log has, is led to the disk, too: all writers
 * write there. */
static void watch_node(struct velo_place *place)
{
    struct velo_region *region = velo_here();
    velo_watch(region, place->at.node);
    if (place->at.type == VELO_REGULAR && velo_is_in_memory(region, place->at.node))
        (void)velo_relocate_place(place, false);
}

static long add_watch(int fd, const char *path, uint32_t mask)
{
    struct velo_place place;
    const unsigned walk = (mask & IN_DONT_FOLLOW) != 0 ? VELO_WALK_NOFOLLOW : 0;
    const int claimed = velo_claim(AT_FDCWD, path, walk, &place);
    if (claimed == VELO_NOT_OURS)
        return velo_sys3(SYS_inotify_add_watch, fd, velo_word(path), mask);
    const long answer = velo_sys3(SYS_inotify_add_watch, fd, velo_word(""), mask);
    if (answer != -ENOENT) /* descriptor or mask, of which the kernel speaks before the path */
        return answer;
    if (claimed < 0)
        return claimed;
    if (place.at.type == VELO_DIRECTORY || place.at.type == VELO_REGULAR)
        watch_node(&place);
    if (place.at.type != VELO_REGULAR)
        return velo_sys3(SYS_inotify_add_watch, fd, velo_word(path), mask);
    char kernel[PATH_MAX];
    const int rc = velo_kernel_path(velo_here(), &place, 0, kernel);
    return rc < 0 ? rc : velo_sys3(SYS_inotify_add_watch, fd, velo_word(kernel), mask);
}

EXPORT int inotify_add_watch(int fd, const char *path, uint32_t mask)
{
    return (int)velo_answer(add_watch(fd, path, mask));
}

/* Marks on files only; those on mounts and file systems, which need privileges, see the disk. */
static long mark(int fd, unsigned flags, uint64_t mask, int dirfd, const char *path)
{
    struct velo_place place;
    const unsigned walk = (flags & FAN_MARK_DONT_FOLLOW) != 0 ? VELO_WALK_NOFOLLOW : 0;
    const bool of_file = (flags & (FAN_MARK_MOUNT | FAN_MARK_FILESYSTEM)) == 0;
    const int claimed = of_file ? velo_claim(dirfd, path, walk, &place) : VELO_NOT_OURS;
    if (claimed < 0)
        return claimed;
    if (claimed == VELO_OURS && (place.at.type == VELO_DIRECTORY || place.at.type == VELO_REGULAR))
        watch_node(&place);
    if (claimed == VELO_NOT_OURS || place.at.type != VELO_REGULAR)
        return velo_sys5(SYS_fanotify_mark, fd, flags, mask, dirfd, velo_word(path));
    char kernel[PATH_MAX];
    const int rc = velo_kernel_path(velo_here(), &place, 0, kernel);
    return rc < 0 ? rc : velo_sys5(SYS_fanotify_mark, fd, flags, mask, AT_FDCWD, velo_word(kernel));
}

EXPORT int fanotify_mark(int fd, unsigned flags, uint64_t mask, int dirfd, const char *path)
{
    return (int)velo_answer(mark(fd, flags, mask, dirfd, path));
}
