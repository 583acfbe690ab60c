/* raw.h - the kernel's file-system calls for the wrappers: what a libc function that is no
 * cancellation point would have done, and the calls we make for ourselves.
 *
 * Arguments are passed on exactly as given. Results are the kernel's: a value or -errno. */
#ifndef VELO_PRELOAD_RAW_H
#define VELO_PRELOAD_RAW_H

#include "kernel/sys.h"
#include "preload.h"

static inline long raw_openat(int at, const char *path, int flags, mode_t mode)
{
    return velo_sys4(SYS_openat, at, velo_word(path), flags, mode);
}
static inline long raw_close(int fd)
{
    return velo_sys1(SYS_close, fd);
}
static inline long raw_fstat(int fd, struct stat *out)
{
    return velo_sys2(SYS_fstat, fd, velo_word(out));
}
static inline long raw_statat(int at, const char *path, struct stat *out, int flags)
{
    return velo_sys4(SYS_newfstatat, at, velo_word(path), velo_word(out), flags);
}
static inline long raw_statx(int at, const char *path, int flags, unsigned mask, struct statx *out)
{
    return velo_sys5(SYS_statx, at, velo_word(path), flags, mask, velo_word(out));
}
static inline long raw_access(int at, const char *path, int mode)
{
    return velo_sys3(SYS_faccessat, at, velo_word(path), mode);
}
static inline long raw_readlink(int at, const char *path, char *out, size_t size)
{
    return velo_sys4(SYS_readlinkat, at, velo_word(path), velo_word(out), size);
}
static inline long raw_rename(int fd, const char *from, int tofd, const char *to, unsigned flags)
{
#ifdef SYS_renameat
    if (flags == 0) /* filters that know the old call only still work */
        return velo_sys4(SYS_renameat, fd, velo_word(from), tofd, velo_word(to));
#endif
    return velo_sys5(SYS_renameat2, fd, velo_word(from), tofd, velo_word(to), flags);
}
static inline long raw_link(int fd, const char *from, int tofd, const char *to, int flags)
{
    return velo_sys5(SYS_linkat, fd, velo_word(from), tofd, velo_word(to), flags);
}
static inline long raw_symlink(const char *target, int at, const char *path)
{
    return velo_sys3(SYS_symlinkat, velo_word(target), at, velo_word(path));
}
static inline long raw_unlink(int at, const char *path, int flags)
{
    return velo_sys3(SYS_unlinkat, at, velo_word(path), flags);
}
static inline long raw_mkdir(int at, const char *path, mode_t mode)
{
    return velo_sys3(SYS_mkdirat, at, velo_word(path), mode);
}
static inline long raw_mknod(int at, const char *path, mode_t mode, dev_t device)
{
    return velo_sys4(SYS_mknodat, at, velo_word(path), mode, device);
}
static inline long raw_chmod(int at, const char *path, mode_t mode)
{
    return velo_sys3(SYS_fchmodat, at, velo_word(path), mode);
}
static inline long raw_chown(int at, const char *path, uid_t uid, gid_t gid, int flags)
{
    return velo_sys5(SYS_fchownat, at, velo_word(path), uid, gid, flags);
}
static inline long raw_utimens(int at, const char *path, const struct timespec t[2], int flags)
{
    return velo_sys4(SYS_utimensat, at, velo_word(path), velo_word(t), flags);
}
static inline long raw_truncate(const char *path, off_t length)
{
    return velo_sys2(SYS_truncate, velo_word(path), length);
}

/* The older call without a directory, which libc's function makes where the machine has it. A seccomp filter may
 * know no other call, or may give another answer for the newer one. */
#ifdef SYS_unlink
#define OLDER(old, otherwise) (old)
#else
#define OLDER(old, otherwise) (otherwise)
#endif
static inline long old_access(const char *path, int mode)
{
    return OLDER(velo_sys2(SYS_access, velo_word(path), mode), raw_access(AT_FDCWD, path, mode));
}
static inline long old_readlink(const char *path, char *out, size_t size)
{
    return OLDER(velo_sys3(SYS_readlink, velo_word(path), velo_word(out), size),
                 raw_readlink(AT_FDCWD, path, out, size));
}
static inline long old_rename(const char *from, const char *to)
{
    return OLDER(velo_sys2(SYS_rename, velo_word(from), velo_word(to)),
                 raw_rename(AT_FDCWD, from, AT_FDCWD, to, 0));
}
static inline long old_link(const char *from, const char *to)
{
    return OLDER(velo_sys2(SYS_link, velo_word(from), velo_word(to)),
                 raw_link(AT_FDCWD, from, AT_FDCWD, to, 0));
}
static inline long old_symlink(const char *target, const char *path)
{
    return OLDER(velo_sys2(SYS_symlink, velo_word(target), velo_word(path)),
                 raw_symlink(target, AT_FDCWD, path));
}
static inline long old_unlink(const char *path)
{
    return OLDER(velo_sys1(SYS_unlink, velo_word(path)), raw_unlink(AT_FDCWD, path, 0));
}
static inline long old_rmdir(const char *path)
{
    return OLDER(velo_sys1(SYS_rmdir, velo_word(path)), raw_unlink(AT_FDCWD, path, AT_REMOVEDIR));
}
static inline long old_mkdir(const char *path, mode_t mode)
{
    return OLDER(velo_sys2(SYS_mkdir, velo_word(path), mode), raw_mkdir(AT_FDCWD, path, mode));
}
static inline long old_chmod(const char *path, mode_t mode)
{
    return OLDER(velo_sys2(SYS_chmod, velo_word(path), mode), raw_chmod(AT_FDCWD, path, mode));
}
static inline long old_chown(const char *path, uid_t uid, gid_t gid)
{
    return OLDER(velo_sys3(SYS_chown, velo_word(path), uid, gid),
                 raw_chown(AT_FDCWD, path, uid, gid, 0));
}
static inline long old_lchown(const char *path, uid_t uid, gid_t gid)
{
    return OLDER(velo_sys3(SYS_lchown, velo_word(path), uid, gid),
                 raw_chown(AT_FDCWD, path, uid, gid, AT_SYMLINK_NOFOLLOW));
}
#undef OLDER
static inline long raw_getcwd(char *out, size_t size)
{
    return velo_sys2(SYS_getcwd, velo_word(out), size);
}
static inline long raw_execveat(int at, const char *path, char *const argv[], char *const envp[],
                                int flags)
{
    return velo_sys5(SYS_execveat, at, velo_word(path), velo_word(argv), velo_word(envp), flags);
}
static inline long raw_execve(const char *path, char *const argv[], char *const envp[])
{
    return velo_sys3(SYS_execve, velo_word(path), velo_word(argv), velo_word(envp));
}

#endif
