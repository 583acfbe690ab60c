/* Pointers to memory that was mapped without rights, is gone, ends too early, or may not be written:
 * which call says EFAULT, and what it looks at before. Test suites of kernels pass them on purpose. */
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/inotify.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <utime.h>

#include "say.h"

#define PAGE 4096

static char *page(int protection)
{
    char *at = mmap(NULL, PAGE, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

/* The last `count` bytes before a page without rights. */
static char *before_the_end(size_t count)
{
    char *at = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(at + PAGE, PAGE, PROT_NONE);
    return at + PAGE - count;
}

static void *volatile none, *volatile gone, *volatile readable, *volatile short_of,
                                                                    *volatile text_cut;

#define BAD(call)                                                                                  \
    do {                                                                                           \
        void *p = none;                                                                            \
        SAY(call);                                                                                 \
        p = gone;                                                                                  \
        SAY(call);                                                                                 \
    } while (0)
#define BAD_TEXT(call)                                                                             \
    do {                                                                                           \
        BAD(call);                                                                                 \
        void *p = text_cut;                                                                        \
        SAY(call);                                                                                 \
    } while (0)
#define BAD_ANSWER(call)                                                                           \
    do {                                                                                           \
        BAD(call);                                                                                 \
        void *p = readable;                                                                        \
        SAY(call);                                                                                 \
        p = short_of;                                                                              \
        SAY(call);                                                                                 \
    } while (0)

#define EACH_TEXT BAD_TEXT
#define EACH_ANSWER BAD_ANSWER
#include "pointer_calls.h"

static void short_buffers(void)
{
    char *end = before_the_end(4);
    SAY(readlink("link", end, PATH_MAX));
    printf("%.3s\n", end);
    SAY(readlink("link", end + 2, PATH_MAX));
}

static void others(void)
{
    BAD(utimensat(AT_FDCWD, "new", p, 0));
    BAD(utimensat(AT_FDCWD, "missing", p, 0));
    BAD(syscall(SYS_utimes, "new", p));
    BAD(syscall(SYS_utime, "new", p));
    BAD(syscall(SYS_futimesat, AT_FDCWD, "new", p));
    BAD(getxattr("new", p, NULL, 0));
    BAD(getxattr("missing", p, NULL, 0));
    BAD(setxattr("new", p, "y", 1, 0));
    BAD(setxattr("new", "user.x", p, 1, 0));
    BAD(setxattr("missing", p, "y", 1, 0));
    BAD(removexattr("new", p));
    BAD(syscall(SYS_openat2, AT_FDCWD, "new", p, sizeof(struct open_how)));
    const int from = open("old/a", O_RDONLY), to = open("copy", O_RDWR | O_CREAT, 0644);
    BAD(sendfile(to, from, p, 4));
    BAD(copy_file_range(from, p, to, NULL, 4, 0));
    BAD(copy_file_range(from, NULL, to, p, 4, 0));
    BAD(splice(from, p, to, NULL, 4, 0));
    BAD(write(to, p, 4));
    BAD(pwrite(to, p, 4, 0));
    BAD(writev(to, p, 2));
    BAD(pwritev(to, p, 2, 0));
    struct iovec pieces[] = {{"a", 1}, {none, 1}};
    SAY(writev(to, pieces, 2));
    BAD(read(from, p, 4));
    BAD(readv(from, p, 1));
    const int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    BAD(bind(fd, p, sizeof(struct sockaddr_un)));
    BAD(connect(fd, p, sizeof(struct sockaddr_un)));
    BAD(sendto(fd, "x", 1, 0, p, sizeof(struct sockaddr_un)));
    BAD(sendmsg(fd, p, 0));
    show_file("copy");
}

static void programs(void)
{
    char *const entries[] = {none, NULL};
    char **cut = (char **)before_the_end(2 * sizeof(char *));
    cut[0] = "A=1";
    cut[1] = "B=2";
    BAD(execve("./true", p, NULL));
    BAD(execve("./true", arguments, p));
    BAD(execve("./missing", arguments, p));
    SAY(execve("./true", entries, NULL));
    SAY(execve("./true", arguments, entries));
    SAY(execve("./true", arguments, cut));
    SAY(execve("./true", cut, no_environment));
}

/* The same page is memory, and then it is not, and then again. */
static void changing(void)
{
    char *path = page(PROT_READ | PROT_WRITE);
    struct stat *st = (struct stat *)page(PROT_READ | PROT_WRITE);
    for (int i = 0; i < 2; i++) {
        strcpy(path, "new");
        SAY(stat(path, st));
        mprotect(path, PAGE, PROT_NONE);
        SAY(stat(path, st));
        mprotect(path, PAGE, PROT_READ | PROT_WRITE);
        mprotect(st, PAGE, PROT_READ);
        SAY(stat(path, st));
        mprotect(st, PAGE, PROT_READ | PROT_WRITE);
    }
    munmap(path, PAGE);
    SAY(stat(path, st));
    path = mmap(path, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    strcpy(path, "new");
    SAY(stat(path, st));
    SAY(path == mmap(path, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
    SAY(stat(path, st));
    syscall(SYS_mprotect, path, PAGE, PROT_READ | PROT_WRITE);
    strcpy(path, "new");
    SAY(stat(path, st));
    syscall(SYS_munmap, path, PAGE);
    SAY(stat(path, st));
    struct stat *moved = mremap(st, PAGE, 2 * PAGE, MREMAP_MAYMOVE);
    SAY(stat("new", moved));
    if (moved != st)
        SAY(stat("new", st));
}

int main(void)
{
    none = page(PROT_NONE);
    readable = page(PROT_READ);
    short_of = before_the_end(2);
    text_cut = before_the_end(3);
    memcpy(text_cut, "new", 3); /* and no end */
    /* A hole that no later mapping of libc's would take, since it looks for room from the top. */
    gone = mmap(NULL, 64 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap((char *)gone + 32 * PAGE, PAGE);
    gone = (char *)gone + 32 * PAGE;
    write_file("new", "new\n");
    if (symlink("new", "link") != 0 || system("cp /bin/true true") != 0)
        return 1;
    paths();
    pairs();
    answers();
    short_buffers();
    others();
    programs();
    changing();
    return 0;
}
