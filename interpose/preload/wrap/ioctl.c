/* ioctl.c - a file that becomes a block device (losetup, mount -o loop) is the disk's from then on:
 * the kernel keeps it open where nobody can look, and says its name to who asks. */
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
    const uint32_t node = velo_node_of_fd(region, fd);
    if (node != 0) {
        velo_relocate_soon(fd, node);
        velo_stays_on_disk(region, node);
    }
    errno = saved;
}

EXPORT int ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    const void *argument = va_arg(arguments, const void *);
    va_end(arguments);
    if (request == LOOP_SET_FD || request == LOOP_CHANGE_FD || request == LOOP_CONFIGURE)
        relocate_device(request, argument);
    return (int)velo_answer(velo_sys3(SYS_ioctl, fd, request, velo_word(argument)));
}
