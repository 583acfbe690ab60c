/* ioctl.c - a file that becomes a block device (losetup, mount -o loop) is the disk's from then on: the kernel
 * keeps it open where no process can look, and tells its name to programs that ask. So is a file that may not be
 * changed any more (chattr +i, +a), and all that is in such a directory: the kernel protects names on disk.
 * So is the file that the kernel's accounting writes (acct): no process has it open that would tell of a write. */
#include <linux/fs.h>
#include <linux/loop.h>
#include <stdarg.h>
#include <sys/ioctl.h>

#include "preload/path/claim.h"
#include "preload/write/credit.h"
#include "preload/base/pointers.h"
#include "preload/base/raw.h"
#include "preload/write/relocate.h"

#ifndef LOOP_CONFIGURE
#define LOOP_CONFIGURE 0x4C0A /* Linux 5.8; begins with the descriptor, as a 32-bit number */
#endif

__attribute__((noinline)) static void relocate_device(unsigned long request, const void *argument)
{
    struct velo_region *region = velo_here();
    if (region == NULL || velo_vfork_child ||
        (request == LOOP_CONFIGURE && velo_cannot_read(argument, sizeof(int))))
        return;
    const int saved = errno;
    const int fd = request == LOOP_CONFIGURE ? *(const int *)argument : (int)(intptr_t)argument;
    const velo_node_id node = velo_node_of_fd(region, fd);
    if (velo_is_node(node)) {
        velo_relocate_soon(fd, node);
        velo_stays_on_disk(region, node);
    }
    errno = saved;
}

/* True: `fd` is a file of ours, on disk now. */
__attribute__((noinline)) static bool relocate_protected(int fd, unsigned long request,
                                                         const void *argument)
{
    struct velo_region *region = velo_here();
    struct stat stat;
    if (region == NULL || velo_vfork_child || velo_cannot_read(argument, sizeof(int)))
        return false;
    const int saved = errno;
    const unsigned flags = *(const unsigned *)argument;
    const bool protects = request == FS_IOC_SETFLAGS
                              ? (flags & (FS_IMMUTABLE_FL | FS_APPEND_FL)) != 0
                              : (flags & (FS_XFLAG_IMMUTABLE | FS_XFLAG_APPEND)) != 0;
    const velo_node_id node =
        protects && raw_fstat(fd, &stat) == 0 ? velo_node_of(region, &stat) : VELO_NO_NODE;
    if (velo_is_node(node) && S_ISREG(stat.st_mode)) {
        velo_relocate_soon(fd, node);
        velo_stays_on_disk(region, node);
    } else if (velo_is_node(node) && S_ISDIR(stat.st_mode)) {
        velo_retire(region, node);
    }
    errno = saved;
    return velo_is_node(node) && S_ISREG(stat.st_mode);
}

EXPORT int ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    const void *argument = va_arg(arguments, const void *);
    va_end(arguments);
    if (request == LOOP_SET_FD || request == LOOP_CHANGE_FD || request == LOOP_CONFIGURE)
        relocate_device(request, argument);
    const bool protects = request == FS_IOC_SETFLAGS || request == FS_IOC_FSSETXATTR;
    if (protects && relocate_protected(fd, request, argument) && request == FS_IOC_SETFLAGS) {
        /* A program that asked before, in memory, has not heard of the flags that the disk sets itself. */
        unsigned now = 0, flags = *(const unsigned *)argument;
        if (velo_sys3(SYS_ioctl, fd, FS_IOC_GETFLAGS, velo_word(&now)) == 0)
            flags |= now & FS_EXTENT_FL;
        return (int)velo_answer(velo_sys3(SYS_ioctl, fd, request, velo_word(&flags)));
    }
    return (int)velo_answer(velo_sys3(SYS_ioctl, fd, request, velo_word(argument)));
}

/* An error of the kernel is about the path that was given, so the kernel gets that one. */
EXPORT int acct(const char *path)
{
    struct velo_place place;
    if (path != NULL && velo_claim(AT_FDCWD, path, 0, &place) == VELO_OURS &&
        place.at.type == VELO_REGULAR) {
        const int saved = errno;
        velo_leave_memory(velo_here(), place.at.node);
        velo_stays_on_disk(velo_here(), place.at.node);
        errno = saved;
    }
    return (int)velo_answer(velo_sys1(SYS_acct, velo_word(path)));
}
