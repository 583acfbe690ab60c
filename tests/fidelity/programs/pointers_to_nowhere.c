/* Pointers that no program has memory behind: which call says EFAULT, and what it looks at before.
 * Test suites of libraries pass them on purpose. */
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include "say.h"

static void *volatile NOTHING = NULL; /* volatile: the compiler is not to know */
static void *volatile NOWHERE = (void *)1;
static void *volatile KERNEL = (void *)-1;

/* What a call says of each of them. */
#define EACH(call)                                                                                 \
    do {                                                                                           \
        void *p = NOTHING;                                                                         \
        SAY(call);                                                                                 \
        p = NOWHERE;                                                                               \
        SAY(call);                                                                                 \
        p = KERNEL;                                                                                \
        SAY(call);                                                                                 \
    } while (0)

static char *const arguments[] = {"./a", NULL}, *const *no_environment = NULL;

static void paths(void)
{
    struct stat st;
    struct statx stx;
    EACH(open(p, O_RDONLY));
    EACH(open(p, O_RDWR | O_CREAT, 0644));
    EACH(openat(AT_FDCWD, p, O_RDONLY | O_DIRECTORY));
    EACH(creat(p, 0644));
    EACH(stat(p, &st));
    EACH(lstat(p, &st));
    EACH(fstatat(AT_FDCWD, p, &st, AT_SYMLINK_NOFOLLOW));
    EACH(syscall(SYS_newfstatat, AT_FDCWD, p, &st, AT_EMPTY_PATH));
    EACH(statx(AT_FDCWD, p, AT_EMPTY_PATH, STATX_BASIC_STATS, &stx));
    EACH(statx(AT_FDCWD, p, 0, STATX_BASIC_STATS, &stx));
    EACH(access(p, F_OK));
    EACH(faccessat(AT_FDCWD, p, R_OK, AT_EACCESS));
    EACH(chmod(p, 0600));
    EACH(chown(p, 0, 0));
    EACH(fchownat(AT_FDCWD, p, 0, 0, AT_EMPTY_PATH));
    EACH(utimensat(AT_FDCWD, p, NULL, 0));
    EACH(truncate(p, 0));
    EACH(mkdir(p, 0755));
    EACH(rmdir(p));
    EACH(unlink(p));
    EACH(remove(p));
    EACH(mknod(p, S_IFIFO | 0600, 0));
    EACH(chdir(p));
    EACH(readlink(p, (char *)&stx, sizeof stx));
    EACH(getxattr(p, "user.x", NULL, 0));
    EACH(setxattr(p, "user.x", "y", 1, 0));
    EACH(listxattr(p, NULL, 0));
    EACH(execve(p, arguments, no_environment));
    EACH((long)fopen(p, "r"));
}

static void pairs(void)
{
    EACH(rename(p, "to"));
    EACH(rename("old/a", p));
    EACH(rename("old/missing", p));
    EACH(rename("old/a/b", p));
    EACH(rename(p, "old/a/b"));
    EACH(rename(p, p));
    EACH(rename(p, "/tmp"));
    EACH(rename("/no/such", p));
    EACH(link(p, "to"));
    EACH(link("old/a", p));
    EACH(link("old/missing", p));
    EACH(linkat(AT_FDCWD, p, AT_FDCWD, "to", AT_EMPTY_PATH));
    EACH(linkat(AT_FDCWD, p, AT_FDCWD, "to", AT_SYMLINK_FOLLOW));
    EACH(symlink(p, "to"));
    EACH(symlink(p, "old/a/b"));
    EACH(symlink("x", p));
}

static void answers(void)
{
    EACH(stat("old/a", p));
    EACH(stat("new", p));
    EACH(stat("missing", p));
    EACH(stat("old/a/b", p));
    EACH(stat("/", p));
    EACH(lstat("link", p));
    EACH(fstat(0, p));
    EACH(statx(AT_FDCWD, "new", 0, STATX_BASIC_STATS, p));
    EACH(statx(AT_FDCWD, "missing", 0, STATX_BASIC_STATS, p));
    EACH(readlink("link", p, 10));
    EACH(readlink("new", p, 10));
    EACH(readlink("missing", p, 10));
    EACH(statfs("new", p));
    EACH(utimensat(AT_FDCWD, "new", p == NULL ? KERNEL : p, 0));
    EACH(utimensat(AT_FDCWD, "missing", p == NULL ? KERNEL : p, 0));
    EACH(getxattr("new", p, NULL, 0));
    EACH(getxattr("missing", p, NULL, 0));
    EACH(setxattr("new", p, "y", 1, 0));
    EACH(setxattr("missing", p, "y", 1, 0));
    EACH(removexattr("new", p));
    EACH(syscall(SYS_openat2, AT_FDCWD, "new", p, 24));
    EACH(syscall(SYS_openat2, AT_FDCWD, p, arguments, 24));
}

static void programs(void)
{
    char *const entries[] = {NOWHERE, NULL};
    EACH(execve("./true", p == NULL ? KERNEL : p, NULL));
    EACH(execve("./true", arguments, p == NULL ? KERNEL : p));
    EACH(execve("./missing", arguments, p == NULL ? KERNEL : p));
    SAY(execve("./true", entries, NULL));
    SAY(execve("./true", arguments, entries));
}

int main(void)
{
    write_file("new", "new\n");
    if (symlink("new", "link") != 0 || system("cp /bin/true true") != 0)
        return 1;
    paths();
    pairs();
    answers();
    programs();
    errno = 0;
    printf("%p %s\n", (void *)realpath(NULL, NULL), strerrorname_np(errno));
    return 0;
}
