/* pointer_calls.h - the calls that take a text, or write an answer, for programs that pass bad pointers `p`.
 *
 * EACH_TEXT(call) and EACH_ANSWER(call), defined before, say what the call says of each of theirs. */
#ifndef POINTER_CALLS_H
#define POINTER_CALLS_H

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/inotify.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include "say.h"

static char *const arguments[] = {"./a", NULL}, *const *no_environment = NULL;

static void paths(void)
{
    struct stat st;
    struct statx stx;
    EACH_TEXT(open(p, O_RDONLY));
    EACH_TEXT(open(p, O_RDWR | O_CREAT, 0644));
    EACH_TEXT(openat(AT_FDCWD, p, O_RDONLY | O_DIRECTORY));
    EACH_TEXT(creat(p, 0644));
    EACH_TEXT(stat(p, &st));
    EACH_TEXT(lstat(p, &st));
    EACH_TEXT(fstatat(AT_FDCWD, p, &st, AT_SYMLINK_NOFOLLOW));
    EACH_TEXT(syscall(SYS_newfstatat, AT_FDCWD, p, &st, AT_EMPTY_PATH));
    EACH_TEXT(statx(AT_FDCWD, p, AT_EMPTY_PATH, STATX_BASIC_STATS, &stx));
    EACH_TEXT(statx(AT_FDCWD, p, 0, STATX_BASIC_STATS, &stx));
    EACH_TEXT(access(p, F_OK));
    EACH_TEXT(faccessat(AT_FDCWD, p, R_OK, AT_EACCESS));
    EACH_TEXT(chmod(p, 0600));
    EACH_TEXT(fchmodat(AT_FDCWD, p, 0600, 0));
    EACH_TEXT(chown(p, 0, 0));
    EACH_TEXT(lchown(p, 0, 0));
    EACH_TEXT(fchownat(AT_FDCWD, p, 0, 0, AT_EMPTY_PATH));
    EACH_TEXT(utimensat(AT_FDCWD, p, NULL, 0));
    EACH_TEXT(truncate(p, 0));
    EACH_TEXT(mkdir(p, 0755));
    EACH_TEXT(rmdir(p));
    EACH_TEXT(unlink(p));
    EACH_TEXT(unlinkat(AT_FDCWD, p, AT_REMOVEDIR));
    EACH_TEXT(remove(p));
    EACH_TEXT(mknod(p, S_IFIFO | 0600, 0));
    EACH_TEXT(chdir(p));
    EACH_TEXT(chroot(p));
    EACH_TEXT(readlink(p, (char *)&stx, sizeof stx));
    EACH_TEXT(getxattr(p, "user.x", NULL, 0));
    EACH_TEXT(setxattr(p, "user.x", "y", 1, 0));
    EACH_TEXT(listxattr(p, NULL, 0));
    EACH_TEXT(removexattr(p, "user.x"));
    EACH_TEXT(execve(p, arguments, no_environment));
    EACH_TEXT(statfs(p, (struct statfs *)&stx));
    EACH_TEXT(statvfs(p, (struct statvfs *)&stx));
    EACH_TEXT(inotify_add_watch(inotify_init(), p, IN_CREATE));
    EACH_TEXT((long)fopen(p, "r"));
    EACH_TEXT(syscall(SYS_utime, p, NULL));
    EACH_TEXT(syscall(SYS_openat2, AT_FDCWD, p, &(struct open_how){0}, sizeof(struct open_how)));
    EACH_TEXT(syscall(SYS_openat2, AT_FDCWD, p, &(struct open_how){.resolve = RESOLVE_IN_ROOT},
                      sizeof(struct open_how)));
}

static void pairs(void)
{
    EACH_TEXT(rename(p, "to"));
    EACH_TEXT(rename("old/a", p));
    EACH_TEXT(rename("old/missing", p));
    EACH_TEXT(rename("old/a/b", p));
    EACH_TEXT(rename(p, "old/a/b"));
    EACH_TEXT(rename(p, p));
    EACH_TEXT(rename(p, "/tmp"));
    EACH_TEXT(rename("/no/such", p));
    EACH_TEXT(renameat2(AT_FDCWD, "old/a", AT_FDCWD, p, RENAME_NOREPLACE));
    EACH_TEXT(link(p, "to"));
    EACH_TEXT(link("old/a", p));
    EACH_TEXT(link("old/missing", p));
    EACH_TEXT(linkat(AT_FDCWD, p, AT_FDCWD, "to", AT_EMPTY_PATH));
    EACH_TEXT(linkat(AT_FDCWD, p, AT_FDCWD, "to", AT_SYMLINK_FOLLOW));
    EACH_TEXT(symlink(p, "to"));
    EACH_TEXT(symlink(p, "old/a/b"));
    EACH_TEXT(symlink("x", p));
}

/* Of files in memory, on disk, in the way, missing, and outside. */
static void answers(void)
{
    EACH_ANSWER(stat("new", p));
    EACH_ANSWER(stat("old/a", p));
    EACH_ANSWER(stat("missing", p));
    EACH_ANSWER(stat("old/a/b", p));
    EACH_ANSWER(stat(".", p));
    EACH_ANSWER(stat("/", p));
    EACH_ANSWER(lstat("link", p));
    EACH_ANSWER(fstatat(AT_FDCWD, "new", p, 0));
    EACH_ANSWER(syscall(SYS_stat, "new", p));
    const int fd = open("new", O_RDONLY);
    EACH_ANSWER(fstat(0, p));
    EACH_ANSWER(fstat(fd, p));
    EACH_ANSWER(fstatat(fd, "", p, AT_EMPTY_PATH));
    close(fd);
    EACH_ANSWER(statx(AT_FDCWD, "new", 0, STATX_BASIC_STATS, p));
    EACH_ANSWER(statx(AT_FDCWD, "old/a", 0, STATX_BASIC_STATS, p));
    EACH_ANSWER(statx(AT_FDCWD, "missing", 0, STATX_BASIC_STATS, p));
    EACH_ANSWER(statfs("new", p));
    EACH_ANSWER(readlink("new", p, 10));
    EACH_ANSWER(readlink("missing", p, 10));
    EACH_ANSWER(readlink("link", p, 10));
    EACH_ANSWER(readlink("link", p, 1));
    EACH_ANSWER(readlink("link", p, PATH_MAX));
    EACH_ANSWER(syscall(SYS_getdents64, open(".", O_RDONLY), p, 1024));
}

#endif
