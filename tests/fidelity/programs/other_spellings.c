/* The other names under which libc has the same calls: of older programs, of _FORTIFY_SOURCE, with a
 * directory, with a list of arguments. Each on files in memory. */
#include <fts.h>
#include <grp.h>
#include <mntent.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/xattr.h>

#include "say.h"

extern char **environ;

/* Headers have them no more, or not by that name; referred to as an older program does. */
#define OLD(type, name, version)                                                                   \
    extern type name();                                                                            \
    __asm__(".symver " #name "," #name "@" version)
#if defined(__x86_64__)
#define SINCE(version) version
#else
#define SINCE(version) "GLIBC_2.17"
#endif
#define FIRST SINCE("GLIBC_2.2.5")

OLD(int, __xstat, FIRST);
OLD(int, __lxstat, FIRST);
OLD(int, __fxstat, FIRST);
OLD(int, __fxstatat, SINCE("GLIBC_2.4"));
OLD(int, __xstat64, FIRST);
OLD(int, __xmknod, FIRST);
OLD(int, __xmknodat, SINCE("GLIBC_2.4"));
OLD(int, __open, FIRST);
OLD(int, __open64, FIRST);
OLD(int, __dup2, FIRST);
OLD(int, __fcntl, FIRST);
OLD(int, __close, FIRST);
OLD(ssize_t, __write, FIRST);
OLD(int, __statfs, FIRST);
OLD(int, __open_2, SINCE("GLIBC_2.7"));
OLD(int, __open64_2, SINCE("GLIBC_2.7"));
OLD(int, __openat_2, SINCE("GLIBC_2.7"));
OLD(int, __openat64_2, SINCE("GLIBC_2.7"));
OLD(ssize_t, __readlink_chk, SINCE("GLIBC_2.4"));
OLD(ssize_t, __readlinkat_chk, SINCE("GLIBC_2.5"));
OLD(char *, __realpath_chk, SINCE("GLIBC_2.4"));
OLD(sighandler_t, bsd_signal, FIRST);
OLD(sighandler_t, ssignal, FIRST);
OLD(sighandler_t, __sysv_signal, FIRST);
OLD(int, __sigaction, FIRST);

static void show_stat(const char *what, int rc, const struct stat *stat)
{
    if (rc != 0)
        say(what, rc);
    else
        printf("%s: %o %ld %ld\n", what, stat->st_mode, (long)stat->st_size, (long)stat->st_nlink);
}

static void older(void)
{
    struct stat stat;
    dev_t none = 0;
    int fd = open("file", O_RDONLY);
    show_stat("__xstat", __xstat(1, "file", &stat), &stat);
    show_stat("__xstat of none", __xstat(1, "none", &stat), &stat);
    show_stat("__xstat64", __xstat64(1, "link", &stat), &stat);
    show_stat("__lxstat", __lxstat(1, "link", &stat), &stat);
    show_stat("__fxstat", __fxstat(1, fd, &stat), &stat);
    show_stat("__fxstatat", __fxstatat(1, AT_FDCWD, "link", &stat, AT_SYMLINK_NOFOLLOW), &stat);
    SAY(__xmknod(0, "made", S_IFREG | 0600, &none));
    SAY(__xmknodat(0, AT_FDCWD, "made2", S_IFIFO | 0600, &none));
    show_stat("made", lstat("made", &stat), &stat);
    show_stat("made2", lstat("made2", &stat), &stat);
    close(fd);
    struct statfs fs, plain;
    fd = __open("old-one", O_CREAT | O_WRONLY | O_EXCL, 0640);
    SAY(__write(fd, "bytes", 5L));
    SAY(__dup2(fd, 20));
    SAY(__write(20, "more", 4L));
    SAY(__fcntl(20, F_GETFL, 0L) & O_ACCMODE);
    SAY(__close(20));
    SAY(__close(fd));
    SAY(__open64("old-one", O_CREAT | O_WRONLY | O_EXCL, 0640));
    show_file("old-one");
    SAY(__statfs("old-one", &fs));
    statfs("old", &plain);
    printf("the same: %d\n", fs.f_type == plain.f_type && fs.f_bsize == plain.f_bsize);
    SAY(__statfs("none", &fs));
}

static void fortified(void)
{
    char target[4096] = "";
    int fd;
    SAY_OPEN(fd, __open_2("file", O_RDONLY));
    SAY_OPEN(fd, __open64_2("none", O_RDONLY));
    SAY_OPEN(fd, __openat_2(AT_FDCWD, "file", O_WRONLY | O_TRUNC));
    SAY(write(fd, "fortified", 9));
    SAY_OPEN(fd, __openat64_2(AT_FDCWD, "file", O_RDONLY));
    SAY(__readlink_chk("link", target, sizeof target, sizeof target));
    printf("%s\n", target);
    SAY(__readlinkat_chk(AT_FDCWD, "file", target, sizeof target, sizeof target));
    printf("%s\n", __realpath_chk("link", target, sizeof target) == NULL ? strerrorname_np(errno)
                                                                         : strrchr(target, '/'));
    IN_CHILD("overflow",
             (freopen("/dev/null", "w", stderr), __readlink_chk("link", target, 10L, 4L)));
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
static void names(void)
{
    struct dirent entry, *found;
    int count = 0, right = 1;
    DIR *directory = opendir("d");
    while (readdir_r(directory, &entry, &found) == 0 && found != NULL)
        count++, right &= found == &entry;
    printf("readdir_r: %d %d\n", count, right);
    rewinddir(directory);
    struct dirent64 wide, *far;
    for (count = 0; readdir64_r(directory, &wide, &far) == 0 && far != NULL;)
        count++;
    printf("readdir64_r: %d\n", count);
    closedir(directory);

    char buffer[4096];
    off_t base = 0;
    const int fd = open("d", O_RDONLY | O_DIRECTORY);
    count = 0;
    for (ssize_t got; (got = getdirentries(fd, buffer, sizeof buffer, &base)) > 0;)
        for (ssize_t at = 0; at < got; at += ((struct dirent *)(buffer + at))->d_reclen)
            count++;
    printf("getdirentries: %d\n", count);
    close(fd);

    char *roots[] = {(char *)"d", NULL};
    FTS64 *walk = fts64_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    count = 0;
    long sum = 0;
    for (FTSENT64 *each; (each = fts64_read(walk)) != NULL; count++)
        sum += each->fts_info == FTS_F ? each->fts_statp->st_size : 0;
    printf("fts64: %d %ld\n", count, sum);
    SAY(fts64_close(walk));
    walk = fts64_open(roots, FTS_PHYSICAL, NULL);
    fts64_read(walk);
    count = 0;
    for (FTSENT64 *each = fts64_children(walk, FTS_NAMEONLY); each != NULL; each = each->fts_link)
        count++;
    printf("fts64_children: %d\n", count);
    SAY(fts64_close(walk));
}
#pragma GCC diagnostic pop

static void attributes(void)
{
    struct stat stat;
    const struct timeval times[2] = {{1000, 0}, {2000, 0}};
    SAY(futimesat(AT_FDCWD, "file", times));
    SAY(lstat("file", &stat));
    printf("%ld %ld\n", (long)stat.st_atime, (long)stat.st_mtime);
    SAY(lchmod("file", 0640));
    SAY(lchmod("link", 0640));
    SAY(mkfifoat(AT_FDCWD, "fifo2", 0600));
    SAY(mkfifoat(AT_FDCWD, "fifo2", 0600));
    SAY(euidaccess("file", R_OK));
    SAY(eaccess("none", R_OK));
    SAY(euidaccess("file", X_OK));
    write_file("mounts", "/dev/x /mnt ext4 rw,noatime 0 2\n");
    FILE *table = setmntent("mounts", "r");
    const struct mntent *entry = table == NULL ? NULL : getmntent(table);
    printf("mounts: %s\n", entry == NULL ? "none" : entry->mnt_type);
    if (table != NULL)
        endmntent(table);
    struct iovec pieces[2] = {{(void *)"ab", 2}, {(void *)"cd", 2}};
    const int fd = open("vectors", O_RDWR | O_CREAT, 0600);
    SAY(pwritev(fd, pieces, 2, 3));
    SAY(pwritev64v2(fd, pieces, 2, -1, 0));
    SAY(pwritev2(fd, pieces, 2, 1, RWF_APPEND));
    char read[32] = "";
    struct iovec piece = {read, sizeof read};
    SAY(preadv64v2(fd, &piece, 1, 0, 0));
    printf("%.4s %.20s\n", read, read + 4);
    close(fd);
}

static void run_by(int which, const char *path)
{
    char *argv[] = {"tool", "word", NULL}, *envp[] = {"VALUE=given", "PATH=/usr/bin:/bin", NULL};
    fflush(stdout);
    switch (which) {
    case 0:
        execl(path, "tool", "l", NULL);
        break;
    case 1:
        execle(path, "tool", "le", NULL, envp);
        break;
    case 2:
        execlp("tool", "tool", "lp", NULL);
        break;
    case 3:
        execv(path, argv);
        break;
    case 4:
        execvp("tool", argv);
        break;
    case 5:
        execvpe("tool", argv, envp);
        break;
    case 6:
        execve(path, argv, envp);
        break;
    case 7:
        execveat(open("bin", O_PATH | O_CLOEXEC), "tool", argv, envp, 0);
        break;
    case 8:
        execveat(open(path, O_PATH), "", argv, envp, AT_EMPTY_PATH);
        break;
    case 9:
        fexecve(open(path, O_RDONLY), argv, envp);
        break;
    case 10:
        execvp("none", argv);
        break;
    default:
        execlp("sub/none", "none", NULL);
        break;
    }
    _exit(errno == ENOENT ? 2 : 3);
}

static void programs(void)
{
    char name[32];
    mkdir("bin", 0755);
    write_file("bin/tool", "#!/bin/sh\necho tool $# $1 $VALUE; cat file\n");
    chmod("bin/tool", 0755);
    setenv("PATH", "bin:/usr/bin:/bin", 1);
    setenv("VALUE", "inherited", 1);
    for (int which = 0; which < 12; which++) {
        snprintf(name, sizeof name, "exec %d", which);
        IN_CHILD(name, run_by(which, "bin/tool"));
    }
    char *argv[] = {"tool", "spawned", NULL};
    pid_t pid;
    int status = 0;
    fflush(stdout);
    const int rc = posix_spawnp(&pid, "tool", NULL, NULL, argv, environ);
    if (rc == 0)
        waitpid(pid, &status, 0);
    printf("posix_spawnp: %d %d\n", rc, status);
    SAY(posix_spawnp(&pid, "none-such", NULL, NULL, argv, environ) == ENOENT);
}

static void waiting(void)
{
    struct pollfd poll_of = {open("file", O_RDONLY), POLLIN, 0};
    const struct timespec soon = {0, 1000};
    sigset_t none;
    sigemptyset(&none);
    SAY(ppoll(&poll_of, 1, &soon, &none));
    fd_set set;
    FD_ZERO(&set);
    FD_SET(poll_of.fd, &set);
    SAY(pselect(poll_of.fd + 1, &set, NULL, NULL, &soon, &none));
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {EPOLLIN, {0}};
    SAY(epoll_ctl(epoll, EPOLL_CTL_ADD, poll_of.fd, &event)); /* EPERM of a file */
    SAY(epoll_pwait(epoll, &event, 1, 0, &none));
    printf("bsd_signal: %d\n", bsd_signal(SIGUSR1, SIG_IGN) == SIG_DFL);
    printf("ssignal: %d\n", ssignal(SIGUSR1, SIG_DFL) == SIG_IGN);
    printf("sysv_signal: %d\n", __sysv_signal(SIGSYS, SIG_IGN) == SIG_DFL);
    struct sigaction action;
    SAY(__sigaction(SIGSYS, NULL, &action));
    printf("%d\n", action.sa_handler == SIG_IGN);
    close(poll_of.fd);
}

int main(void)
{
    write_file("file", "text\n");
    SAY(symlink("file", "link"));
    mkdir("d", 0755);
    mkdir("d/e", 0755);
    write_file("d/one", "1\n");
    write_file("d/e/two", "22\n");
    older();
    fortified();
    names();
    attributes();
    programs();
    waiting();
    return 0;
}
