/* attributes.c - operations on what a file is: stat and its kin, modes, owners, times, xattrs. */
#include "oracle.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

static void say_answer(struct context *c, int rc, const struct stat *st, int dirfd,
                       const char *path, int flags)
{
    if (rc != 0)
        say_result(c, rc);
    else
        say_stat(c, st, dirfd, path, flags);
}

static void op_stat(struct context *c, char **a)
{
    struct stat st;
    const char *path = path_of(c, a[0]);
    say_answer(c, stat(path, &st), &st, AT_FDCWD, path, 0);
}

static void op_lstat(struct context *c, char **a)
{
    struct stat st;
    const char *path = path_of(c, a[0]);
    say_answer(c, lstat(path, &st), &st, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW);
}

static void op_fstat(struct context *c, char **a)
{
    struct stat st;
    const int fd = fd_of(c, a[0]);
    say_answer(c, fstat(fd, &st), &st, fd, "", AT_EMPTY_PATH);
}

static void op_fstatat(struct context *c, char **a)
{
    struct stat st;
    const char *path = path_of(c, a[1]);
    const int dirfd = fd_of(c, a[0]), flags = (int)number(a[2]);
    say_answer(c, fstatat(dirfd, path, &st, flags), &st, dirfd, path, flags);
}

/* stx_mnt_id, which libc's struct may not have: is it that of the directory that we all work in? */
static char same_mount(const struct statx *st, unsigned wanted)
{
    char above[sizeof shared->base + 4];
    struct statx other;
    snprintf(above, sizeof above, "%s/..", shared->base);
    if (statx(AT_FDCWD, above, 0, wanted, &other) != 0)
        return '?';
    return memcmp((const char *)st + 144, (const char *)&other + 144, 8) == 0 ? '=' : '!';
}

static void op_statx(struct context *c, char **a)
{
    struct statx st;
    const char *path = path_of(c, a[1]);
    const unsigned wanted = (unsigned)number(a[3]);
    if (statx(fd_of(c, a[0]), path, (int)number(a[2]), wanted, &st) != 0) {
        say_result(c, -1);
        return;
    }
    say(c, " x%x a%llx m%c", st.stx_mask & ~0x2000u, /* STATX_DIOALIGN: docs/limits.md */
        (unsigned long long)st.stx_attributes_mask, same_mount(&st, wanted));
    if ((wanted & STATX_BASIC_STATS) == STATX_BASIC_STATS && (st.stx_mask & STATX_BTIME) != 0)
        say_statx(c, &st, wanted & (STATX_BASIC_STATS | STATX_BTIME));
}

/* One set by hand before 2001; another may be any. */
static void op_atime(struct context *c, char **a)
{
    struct stat st;
    const int rc = stat(path_of(c, a[0]), &st);
    if (rc != 0)
        say_result(c, rc);
    else
        say(c, " %ld", st.st_atim.tv_sec < 1000000000 ? (long)st.st_atim.tv_sec : -1);
}

static void op_access(struct context *c, char **a)
{
    say_result(c, access(path_of(c, a[0]), (int)number(a[1])));
}

static void op_eaccess(struct context *c, char **a)
{
    say_result(c, eaccess(path_of(c, a[0]), (int)number(a[1])));
}

static void op_faccessat(struct context *c, char **a)
{
    say_result(c,
               faccessat(fd_of(c, a[0]), path_of(c, a[1]), (int)number(a[2]), (int)number(a[3])));
}

static void op_chmod(struct context *c, char **a)
{
    say_result(c, chmod(path_of(c, a[0]), (mode_t)number(a[1])));
}

static void op_fchmod(struct context *c, char **a)
{
    say_result(c, fchmod(fd_of(c, a[0]), (mode_t)number(a[1])));
}

static void op_fchmodat(struct context *c, char **a)
{
    say_result(c,
               fchmodat(fd_of(c, a[0]), path_of(c, a[1]), (mode_t)number(a[2]), (int)number(a[3])));
}

static void op_chown(struct context *c, char **a)
{
    say_result(c, chown(path_of(c, a[0]), (uid_t)number(a[1]), (gid_t)number(a[2])));
}

static void op_lchown(struct context *c, char **a)
{
    say_result(c, lchown(path_of(c, a[0]), (uid_t)number(a[1]), (gid_t)number(a[2])));
}

static void op_fchown(struct context *c, char **a)
{
    say_result(c, fchown(fd_of(c, a[0]), (uid_t)number(a[1]), (gid_t)number(a[2])));
}

static void op_fchownat(struct context *c, char **a)
{
    say_result(c, fchownat(fd_of(c, a[0]), path_of(c, a[1]), (uid_t)number(a[2]),
                           (gid_t)number(a[3]), (int)number(a[4])));
}

static void op_umask(struct context *c, char **a)
{
    say(c, " %04o", umask((mode_t)number(a[0])));
}

/* ---- times: a number of seconds, `now` or `omit` --------------------------------------------- */

static struct timespec time_of(const char *word)
{
    if (strcmp(word, "now") == 0)
        return (struct timespec){0, UTIME_NOW};
    if (strcmp(word, "omit") == 0)
        return (struct timespec){0, UTIME_OMIT};
    return (struct timespec){number(word), 123456789};
}

static void op_utimensat(struct context *c, char **a)
{
    const struct timespec times[2] = {time_of(a[2]), time_of(a[3])};
    say_result(c, utimensat(fd_of(c, a[0]), path_of(c, a[1]), times, (int)number(a[4])));
}

static void op_futimens(struct context *c, char **a)
{
    const struct timespec times[2] = {time_of(a[1]), time_of(a[2])};
    say_result(c, futimens(fd_of(c, a[0]), times));
}

static void op_utime(struct context *c, char **a)
{
    const struct utimbuf times = {number(a[1]), number(a[2])};
    say_result(c, utime(path_of(c, a[0]), number(a[1]) == 0 ? NULL : &times));
}

static void op_utimes(struct context *c, char **a)
{
    const struct timeval times[2] = {{number(a[1]), 5}, {number(a[2]), 6}};
    say_result(c, utimes(path_of(c, a[0]), times));
}

static void op_lutimes(struct context *c, char **a)
{
    const struct timeval times[2] = {{number(a[1]), 5}, {number(a[2]), 6}};
    say_result(c, lutimes(path_of(c, a[0]), times));
}

static void op_futimes(struct context *c, char **a)
{
    const struct timeval times[2] = {{number(a[1]), 5}, {number(a[2]), 6}};
    say_result(c, futimes(fd_of(c, a[0]), times));
}

/* ---- extended attributes: spelled with p (path), l (link) or a slot -------------------------- */

static void op_setxattr(struct context *c, char **a)
{
    /* Each time another one: whether the same again is a change, file systems disagree (ext4, XFS). */
    char value[64];
    const size_t size = (size_t)snprintf(value, sizeof value, "%s%d", a[3], c->line);
    const int flags = (int)number(a[4]);
    if (strcmp(a[0], "p") == 0)
        say_result(c, setxattr(path_of(c, a[1]), a[2], value, size, flags));
    else if (strcmp(a[0], "l") == 0)
        say_result(c, lsetxattr(path_of(c, a[1]), a[2], value, size, flags));
    else
        say_result(c, fsetxattr(fd_of(c, a[0]), a[2], value, size, flags));
}

static void op_getxattr(struct context *c, char **a)
{
    char value[256];
    const size_t size = (size_t)number(a[3]);
    long rc;
    if (strcmp(a[0], "p") == 0)
        rc = getxattr(path_of(c, a[1]), a[2], value, size);
    else if (strcmp(a[0], "l") == 0)
        rc = lgetxattr(path_of(c, a[1]), a[2], value, size);
    else
        rc = fgetxattr(fd_of(c, a[0]), a[2], value, size);
    if (size > 0)
        say_data(c, value, rc);
    else
        say_result(c, rc);
}

static int by_text(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

static void op_listxattr(struct context *c, char **a)
{
    char names[4096], *sorted[64];
    long rc;
    if (strcmp(a[0], "p") == 0)
        rc = listxattr(path_of(c, a[1]), names, sizeof names);
    else if (strcmp(a[0], "l") == 0)
        rc = llistxattr(path_of(c, a[1]), names, sizeof names);
    else
        rc = flistxattr(fd_of(c, a[0]), names, sizeof names);
    say_result(c, rc);
    size_t count = 0;
    for (long at = 0; at < rc && count < 64; at += (long)strlen(names + at) + 1)
        sorted[count++] = names + at;
    qsort(sorted, count, sizeof sorted[0], by_text);
    for (size_t i = 0; i < count; i++)
        say(c, " %s", sorted[i]);
}

static void op_removexattr(struct context *c, char **a)
{
    if (strcmp(a[0], "p") == 0)
        say_result(c, removexattr(path_of(c, a[1]), a[2]));
    else if (strcmp(a[0], "l") == 0)
        say_result(c, lremovexattr(path_of(c, a[1]), a[2]));
    else
        say_result(c, fremovexattr(fd_of(c, a[0]), a[2]));
}

/* ---- the file system: all but how full it is ------------------------------------------------- */

static void say_statfs(struct context *c, int rc, const struct statfs *st)
{
    if (rc != 0)
        say_result(c, rc);
    else
        say(c, " %lx %ld %ld %ld %lx", (long)st->f_type, (long)st->f_bsize, (long)st->f_frsize,
            (long)st->f_namelen, (long)st->f_flags);
}

static void op_statfs(struct context *c, char **a)
{
    struct statfs st;
    say_statfs(c, statfs(path_of(c, a[0]), &st), &st);
}

static void op_fstatfs(struct context *c, char **a)
{
    struct statfs st;
    say_statfs(c, fstatfs(fd_of(c, a[0]), &st), &st);
}

static void say_statvfs(struct context *c, int rc, const struct statvfs *st)
{
    if (rc != 0)
        say_result(c, rc);
    else
        say(c, " %lu %lu %lu %lx", st->f_bsize, st->f_frsize, st->f_namemax, st->f_flag);
}

static void op_statvfs(struct context *c, char **a)
{
    struct statvfs st;
    say_statvfs(c, statvfs(path_of(c, a[0]), &st), &st);
}

static void op_fstatvfs(struct context *c, char **a)
{
    struct statvfs st;
    say_statvfs(c, fstatvfs(fd_of(c, a[0]), &st), &st);
}

static void op_pathconf(struct context *c, char **a)
{
    errno = 0;
    say(c, " %ld", pathconf(path_of(c, a[0]), (int)number(a[1])));
    say(c, " %s", error_name(errno));
}

static void op_fpathconf(struct context *c, char **a)
{
    errno = 0;
    say(c, " %ld", fpathconf(fd_of(c, a[0]), (int)number(a[1])));
    say(c, " %s", error_name(errno));
}

const struct operation_name attribute_operations[] = {
    {"stat", 1, op_stat},
    {"lstat", 1, op_lstat},
    {"fstat", 1, op_fstat},
    {"fstatat", 3, op_fstatat},
    {"statx", 4, op_statx},
    {"atime", 1, op_atime},
    {"access", 2, op_access},
    {"eaccess", 2, op_eaccess},
    {"faccessat", 4, op_faccessat},
    {"chmod", 2, op_chmod},
    {"fchmod", 2, op_fchmod},
    {"fchmodat", 4, op_fchmodat},
    {"chown", 3, op_chown},
    {"lchown", 3, op_lchown},
    {"fchown", 3, op_fchown},
    {"fchownat", 5, op_fchownat},
    {"umask", 1, op_umask},
    {"utimensat", 5, op_utimensat},
    {"futimens", 3, op_futimens},
    {"utime", 3, op_utime},
    {"utimes", 3, op_utimes},
    {"lutimes", 3, op_lutimes},
    {"futimes", 3, op_futimes},
    {"setxattr", 5, op_setxattr},
    {"getxattr", 4, op_getxattr},
    {"listxattr", 2, op_listxattr},
    {"removexattr", 3, op_removexattr},
    {"statfs", 1, op_statfs},
    {"fstatfs", 1, op_fstatfs},
    {"statvfs", 1, op_statvfs},
    {"fstatvfs", 1, op_fstatvfs},
    {"pathconf", 2, op_pathconf},
    {"fpathconf", 2, op_fpathconf},
    {NULL, 0, NULL},
};
