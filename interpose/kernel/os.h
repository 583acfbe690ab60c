/* os.h - the file-system calls the core makes, by name.  Each returns the kernel's answer: a value
 * or a negative errno, errno untouched (sys.h).  EINTR is retried where a caller could not. */
#ifndef VELO_CORE_OS_H
#define VELO_CORE_OS_H

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "sys.h"

#if defined(__SANITIZE_THREAD__)
#define VELO_UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define VELO_UNDER_TSAN 1
#endif
#endif

#ifdef VELO_KILL_POINTS /* tests/core: die at the k-th point; lock.c */
void velo_kill_point(void);
#else
static inline void velo_kill_point(void)
{
}
#endif

static inline int velo_os_openat(int at, const char *path, int flags, mode_t mode)
{
    long rc;
    do
        rc = velo_sys4(SYS_openat, at, velo_word(path), flags, (long)mode);
    while (rc == -EINTR);
    return (int)rc;
}
static inline int velo_os_open(const char *path, int flags, mode_t mode)
{
    return velo_os_openat(AT_FDCWD, path, flags, mode);
}

/* What the file holds from its start, as far as there is room, and a NUL: how much, or -errno. */
static inline long velo_os_read_text(const char *path, char *out, size_t size)
{
    const int fd = velo_os_open(path, O_RDONLY | O_CLOEXEC, 0);
    size_t have = 0;
    long got = fd;
    while (fd >= 0 && have + 1 < size &&
           (got = velo_sys3(SYS_read, fd, velo_word(out + have), size - 1 - have)) > 0)
        have += (size_t)got;
    if (fd >= 0)
        velo_sys1(SYS_close, fd);
    out[have] = 0;
    return got < 0 && have == 0 ? got : (long)have;
}

static inline void velo_os_pause(long ns)
{
    const struct timespec moment = {0, ns};
    velo_sys2(SYS_nanosleep, velo_word(&moment), 0);
}

static inline void velo_os_close(int fd)
{
    velo_sys1(SYS_close, fd);
}
static inline int velo_os_lstat(const char *path, struct stat *out)
{
    return (int)velo_sys4(SYS_newfstatat, AT_FDCWD, velo_word(path), velo_word(out),
                          AT_SYMLINK_NOFOLLOW);
}
static inline int velo_os_lstatat(int at, const char *name, struct stat *out)
{
    return (int)velo_sys4(SYS_newfstatat, at, velo_word(name), velo_word(out), AT_SYMLINK_NOFOLLOW);
}
/* When the file was made, in ns; 0: the file system keeps no such time, or the kernel has no statx. */
static inline int64_t velo_os_birth_at(int at, const char *name)
{
    struct statx seen;
    const int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;
    if (velo_sys5(SYS_statx, at, velo_word(name), flags, STATX_BTIME, velo_word(&seen)) != 0 ||
        (seen.stx_mask & STATX_BTIME) == 0)
        return 0;
    return seen.stx_btime.tv_sec * 1000000000 + seen.stx_btime.tv_nsec;
}
static inline int velo_os_fstat(int fd, struct stat *out)
{
    return (int)velo_sys2(SYS_fstat, fd, velo_word(out));
}
static inline int velo_os_unlinkat(int at, const char *path, int flags)
{
    velo_kill_point();
    return (int)velo_sys3(SYS_unlinkat, at, velo_word(path), flags);
}
static inline int velo_os_unlink(const char *path)
{
    return velo_os_unlinkat(AT_FDCWD, path, 0);
}
static inline int velo_os_mkdir(const char *path, mode_t mode)
{
    velo_kill_point();
    return (int)velo_sys3(SYS_mkdirat, AT_FDCWD, velo_word(path), (long)mode);
}
static inline int velo_os_renameat(int from_at, const char *from, int to_at, const char *to,
                                   unsigned flags)
{
    velo_kill_point();
    return (int)velo_sys5(SYS_renameat2, from_at, velo_word(from), to_at, velo_word(to),
                          (long)flags);
}
static inline int velo_os_linkat(int from_at, const char *from, int to_at, const char *to,
                                 int flags)
{
    velo_kill_point();
    return (int)velo_sys5(SYS_linkat, from_at, velo_word(from), to_at, velo_word(to), flags);
}
static inline int velo_os_symlink(const char *target, const char *path)
{
    velo_kill_point();
    return (int)velo_sys3(SYS_symlinkat, velo_word(target), AT_FDCWD, velo_word(path));
}
static inline long velo_os_readlinkat(int at, const char *path, char *out, size_t size)
{
    return velo_sys4(SYS_readlinkat, at, velo_word(path), velo_word(out), (long)size);
}
static inline int velo_os_mknod(const char *path, mode_t mode, dev_t device)
{
    velo_kill_point();
    return (int)velo_sys4(SYS_mknodat, AT_FDCWD, velo_word(path), (long)mode, (long)device);
}
static inline int velo_os_chmod(const char *path, mode_t mode)
{
    velo_kill_point();
    return (int)velo_sys3(SYS_fchmodat, AT_FDCWD, velo_word(path), (long)mode);
}
static inline int velo_os_chown(const char *path, uid_t uid, gid_t gid)
{
    velo_kill_point();
    return (int)velo_sys5(SYS_fchownat, AT_FDCWD, velo_word(path), (long)uid, (long)gid,
                          AT_SYMLINK_NOFOLLOW);
}
static inline int velo_os_fchmod(int fd, mode_t mode)
{
    velo_kill_point();
    return (int)velo_sys2(SYS_fchmod, fd, (long)mode);
}
static inline int velo_os_fchown(int fd, uid_t uid, gid_t gid)
{
    velo_kill_point();
    return (int)velo_sys3(SYS_fchown, fd, (long)uid, (long)gid);
}
static inline int velo_os_utimensat(int at, const char *path, const struct timespec times[2],
                                    int flags)
{
    velo_kill_point();
    return (int)velo_sys4(SYS_utimensat, at, velo_word(path), velo_word(times), flags);
}
static inline int velo_os_ftruncate(int fd, off_t length)
{
    velo_kill_point();
    return (int)velo_sys2(SYS_ftruncate, fd, length);
}
static inline int velo_os_fallocate(int fd, off_t offset, off_t length)
{
    return (int)velo_sys4(SYS_fallocate, fd, 0, offset, length);
}
static inline int velo_os_accessat(int at, const char *path, int mode, int flags)
{
    if (flags == 0) /* the plain call: also on kernels and under filters that lack faccessat2 */
        return (int)velo_sys3(SYS_faccessat, at, velo_word(path), mode);
    return (int)velo_sys4(439 /* faccessat2 */, at, velo_word(path), mode, flags);
}
static inline int velo_os_access(const char *path, int mode, int flags)
{
    return velo_os_accessat(AT_FDCWD, path, mode, flags);
}
static inline int velo_os_fsync(int fd)
{
    return (int)velo_sys1(SYS_fsync, fd);
}

/* Zeroed pages for the work of one call, or NULL. */
static inline void *velo_os_memory(size_t bytes)
{
#ifdef VELO_UNDER_TSAN /* it must learn that this is not the memory that had the address before */
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? NULL : at;
#else
    const long at = velo_sys6(SYS_mmap, 0, bytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return at < 0 && at > -4096 ? NULL : (void *)(uintptr_t)at;
#endif
}
static inline void velo_os_unmap(void *at, size_t bytes)
{
#ifdef VELO_UNDER_TSAN
    munmap(at, bytes);
#else
    velo_sys2(SYS_munmap, velo_word(at), (long)bytes);
#endif
}

/* Of years that 64 bits do not hold (before 1678, after 2261) the nearest: one side of each comparison. */
static inline int64_t velo_ns(const struct timespec *time)
{
    const int64_t most = INT64_MAX / 1000000000 - 1;
    if (__builtin_expect(time->tv_sec > most, 0))
        return most * 1000000000;
    if (__builtin_expect(time->tv_sec < -most, 0))
        return -most * 1000000000;
    return (int64_t)time->tv_sec * 1000000000 + time->tv_nsec;
}
static inline struct timespec velo_timespec(int64_t ns)
{
    struct timespec time = {ns / 1000000000, ns % 1000000000};
    if (time.tv_nsec < 0) {
        time.tv_nsec += 1000000000;
        time.tv_sec -= 1;
    }
    return time;
}
/* By libc, which asks the kernel for most clocks without a system call. */
static inline int64_t velo_clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return velo_ns(&now);
}
/* CLOCK_MONOTONIC. A system call: for what happens a few times a step. */
static inline int64_t velo_os_monotonic_ns(void)
{
    struct timespec now = {0, 0};
    velo_sys2(SYS_clock_gettime, CLOCK_MONOTONIC, velo_word(&now));
    return velo_ns(&now);
}

#endif
