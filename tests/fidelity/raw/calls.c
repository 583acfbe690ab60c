/* calls.c - each system call that names files, made raw, and what it leaves for the others. */
#include <dirent.h>
#include <linux/openat2.h>
#include <sys/statfs.h>
#include <utime.h>

#include "raw.h"

#define HERE AT_FDCWD

static char text[64];
static struct stat st;
static struct statx stx;
static struct statfs stf;

static void opening(void)
{
    const struct open_how how = {.flags = O_RDWR | O_CREAT, .mode = 0600};
    SAY("openat %d", RAW(SYS_openat, HERE, "a", O_CREAT | O_EXCL | O_RDWR, 0640) >= 0);
    TRY(RAW(SYS_openat, HERE, "a", O_CREAT | O_EXCL | O_RDWR, 0640));
    SAY("open %d", RAW(SYS_open, "a", O_RDONLY) >= 0);
    SAY("creat %d", RAW(SYS_creat, "b", 0600) >= 0);
    SAY("openat2 %d", RAW(SYS_openat2, HERE, "c", &how, sizeof how) >= 0);
    const struct open_how beneath = {.flags = O_RDONLY, .resolve = RESOLVE_BENEATH};
    SAY("beneath %d", RAW(SYS_openat2, HERE, "c", &beneath, sizeof beneath) >= 0);
    TRY(RAW(SYS_openat2, HERE, "../build/c", &beneath, sizeof beneath));
    TRY(RAW(SYS_openat2, HERE, "c", &beneath, 8));
    TRY(RAW(SYS_open, "missing/a", O_RDONLY));
    TRY(RAW(SYS_open, "a/b", O_RDONLY));
}

static void looking(void)
{
    const int fd = open("a", O_RDWR);
    TRY(RAW(SYS_write, fd, "hello", 5));
    TRY(RAW(SYS_stat, "a", &st));
    SAY("%o %ld", st.st_mode, (long)st.st_size);
    TRY(RAW(SYS_lstat, "a", &st));
    TRY(RAW(SYS_fstat, fd, &st));
    const ino_t seen = st.st_ino;
    TRY(RAW(SYS_newfstatat, HERE, "a", &st, AT_SYMLINK_NOFOLLOW));
    SAY("same %d", seen == st.st_ino);
    TRY(RAW(SYS_statx, HERE, "a", 0, STATX_BASIC_STATS, &stx));
    SAY("same %d, %llu", seen == stx.stx_ino, (unsigned long long)stx.stx_size);
    TRY(RAW(SYS_access, "a", R_OK));
    TRY(RAW(SYS_faccessat, HERE, "nothing", F_OK));
    TRY(RAW(SYS_statfs, "a", &stf));
    TRY(RAW(SYS_lseek, fd, 0, SEEK_END));
    TRY(RAW(SYS_close, fd));
    TRY(RAW(SYS_close, fd));
}

static void naming(void)
{
    TRY(RAW(SYS_mkdir, "d", 0755));
    TRY(RAW(SYS_mkdirat, HERE, "d/e", 0700));
    TRY(RAW(SYS_link, "a", "l"));
    TRY(RAW(SYS_linkat, HERE, "a", HERE, "d/l", 0));
    TRY(RAW(SYS_symlink, "a", "s"));
    TRY(RAW(SYS_symlinkat, "../a", HERE, "d/s"));
    TRY(RAW(SYS_readlink, "s", text, sizeof text));
    TRY(RAW(SYS_readlinkat, HERE, "d/s", text, sizeof text));
    SAY("%s", text);
    TRY(RAW(SYS_rename, "b", "d/b"));
    TRY(RAW(SYS_renameat, HERE, "c", HERE, "d/c"));
    TRY(RAW(SYS_renameat2, HERE, "d/b", HERE, "d/c", 1));
    TRY(RAW(SYS_renameat2, HERE, "d/b", HERE, "d/c", 2));
    TRY(RAW(SYS_mknod, "n", S_IFREG | 0600, 0));
    TRY(RAW(SYS_mknodat, HERE, "p", S_IFIFO | 0600, 0));
    TRY(RAW(SYS_unlink, "l"));
    TRY(RAW(SYS_unlinkat, HERE, "d/l", 0));
    TRY(RAW(SYS_unlinkat, HERE, "d/e", AT_REMOVEDIR));
    TRY(RAW(SYS_rmdir, "d"));
    TRY(size_of("a"));
}

static void changing(void)
{
    const struct timespec times[2] = {{1000, 5}, {2000, 7}};
    const struct utimbuf old = {3000, 4000};
    const int fd = open("a", O_RDWR);
    TRY(RAW(SYS_chmod, "a", 0600));
    TRY(RAW(SYS_fchmod, fd, 0604));
    TRY(RAW(SYS_fchmodat, HERE, "a", 0644));
    TRY(RAW(SYS_chown, "a", getuid(), -1));
    TRY(RAW(SYS_lchown, "s", -1, -1));
    TRY(RAW(SYS_fchown, fd, -1, -1));
    TRY(RAW(SYS_fchownat, HERE, "a", -1, -1, 0));
    TRY(RAW(SYS_utime, "a", &old));
    TRY(RAW(SYS_utimensat, HERE, "a", times, 0));
    TRY(RAW(SYS_stat, "a", &st));
    SAY("%o %ld.%ld", st.st_mode, (long)st.st_mtim.tv_sec, (long)st.st_mtim.tv_nsec);
    TRY(RAW(SYS_utimensat, fd, 0, times, 0));
    TRY(RAW(SYS_truncate, "a", 3));
    TRY(RAW(SYS_ftruncate, fd, 2));
    TRY(RAW(SYS_fallocate, fd, 0, 0, 100));
    TRY(size_of("a"));
    const int to = open("copy", O_CREAT | O_WRONLY, 0644);
    TRY(RAW(SYS_copy_file_range, fd, 0, to, 0, 50, 0));
    close(to);
    TRY(size_of("copy"));
}

static void listing(void)
{
    char buffer[4096];
    long count, names = 0, right = 0;
    const long fd = RAW(SYS_open, ".", O_RDONLY | O_DIRECTORY);
    while ((count = RAW(SYS_getdents64, fd, buffer, sizeof buffer)) > 0)
        for (long at = 0; at < count; names++) {
            const struct dirent *entry = (const void *)(buffer + at);
            lstat(entry->d_name, &st);
            right += st.st_ino == entry->d_ino && IFTODT(st.st_mode) == entry->d_type;
            at += entry->d_reclen;
        }
    SAY("names %ld, then %ld, right %ld", names, count, right);
    TRY(RAW(SYS_chdir, "d"));
    SAY("getcwd %d", RAW(SYS_getcwd, buffer, sizeof buffer) > 0 && strstr(buffer, "build/d"));
    TRY(RAW(SYS_fchdir, fd));
    TRY(RAW(SYS_io_uring_setup, 4, buffer) < 0);
    TRY(RAW(999));
    TRY(RAW(-5));
}

int main(void)
{
    errno = 77;
    opening();
    looking();
    naming();
    changing();
    listing();
    SAY("errno %d", errno);
    return 0;
}
