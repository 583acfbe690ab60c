/* map.c - memory that a program maps, unmaps and protects.
 *
 * The calls are the kernel's. What was known of those pages is forgotten afterwards (pointers.c): a thread
 * that asks during the call is in a race with it anyway. */
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/shm.h>

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4 /* Linux 5.7 */
#endif

#include "preload/base/pointers.h"
#include "preload/write/share.h"
#include "kernel/sys.h"

static long with_pages_forgotten(long rc, const void *at, size_t size)
{
    velo_forget_pages(at, size);
    return velo_answer(rc);
}

EXPORT void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    if ((flags & MAP_ANONYMOUS) == 0)
        velo_before_sharing(fd);
    const long rc = velo_sys6(SYS_mmap, velo_word(at), size, protection, flags, fd, offset);
    if ((flags & MAP_FIXED) == 0 && (protection & PROT_WRITE) != 0)
        return (void *)velo_answer(rc); /* where nothing was; it can do all that one may know */
    return (void *)with_pages_forgotten(rc, (flags & MAP_FIXED) != 0 ? at : (void *)rc, size);
}
ALIAS(mmap64, mmap);

EXPORT int munmap(void *at, size_t size)
{
    return (int)with_pages_forgotten(velo_sys2(SYS_munmap, velo_word(at), size), at, size);
}

EXPORT int mprotect(void *at, size_t size, int protection)
{
    return (int)with_pages_forgotten(velo_sys3(SYS_mprotect, velo_word(at), size, protection), at,
                                     size);
}

EXPORT int pkey_mprotect(void *at, size_t size, int protection, int key)
{
    if (key == -1)
        return mprotect(at, size, protection);
    return (int)with_pages_forgotten(
        velo_sys4(SYS_pkey_mprotect, velo_word(at), size, protection, key), at, size);
}

EXPORT void *mremap(void *at, size_t size, size_t wanted, int flags, ...)
{
    void *to = NULL;
    if ((flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) != 0) {
        va_list arguments;
        va_start(arguments, flags);
        to = va_arg(arguments, void *);
        va_end(arguments);
    }
    const long rc = velo_sys5(SYS_mremap, velo_word(at), size, wanted, flags, velo_word(to));
    velo_forget_pages(at, size);
    return (void *)with_pages_forgotten(rc, (void *)rc, wanted);
}

EXPORT int shmdt(const void *at)
{
    const long rc = velo_sys1(SYS_shmdt, velo_word(at));
    return (int)with_pages_forgotten(rc, NULL, SIZE_MAX / 2); /* the call does not tell how much */
}
