/* Calls with arguments that few programs give: flags that mean nothing beside others, positions from
 * before, pointers to nowhere, numbers that libc has no function for. */
#include "say.h"

#include <dirent.h>
#include <limits.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>

#ifndef RWF_DONTCACHE
#define RWF_DONTCACHE 0x80
#endif

static void say_result(const char *what, long rc)
{
    printf("%s: %ld %s\n", what, rc < 0 ? -1 : rc > 2 ? 3 : rc, rc < 0 ? strerror(errno) : "");
}

static void realpath_says(const char *path)
{
    char here[PATH_MAX], out[PATH_MAX] = "untouched";
    const char *answer = realpath(path, out);
    const size_t length = strlen(getcwd(here, sizeof here));
    printf("realpath %s: %d %s %s\n", path, answer != NULL, answer == NULL ? strerror(errno) : "",
           strncmp(out, here, length) == 0 ? out + length : out);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* The order of names is nobody's; what a position leads to is. */
static void positions(void)
{
    char first[20][32] = {0}, again[20][32] = {0};
    long at[20];
    int count = 0;
    DIR *directory = opendir("d");
    for (struct dirent *entry;
         at[count] = telldir(directory), (entry = readdir(directory)) != NULL;)
        snprintf(first[count++], 32, "%.31s", entry->d_name);
    rewinddir(directory);
    for (int i = count; i-- > 0;) {
        seekdir(directory, at[i]);
        const struct dirent *entry = readdir(directory);
        snprintf(again[i], 32, "%.31s", entry == NULL ? "none" : entry->d_name);
    }
    printf("positions: %d %d\n", count, memcmp(first, again, sizeof first[0] * (size_t)count) == 0);
    rewinddir(directory);
    close(open("d/later", O_CREAT | O_WRONLY, 0600));
    seekdir(directory, at[3]);
    int rest = 0;
    while (readdir(directory) != NULL && rest < 100)
        rest++;
    printf("from a position of before: %d\n", rest >= count - 3 - 1 && rest <= count);
    closedir(directory);
    qsort(first, (size_t)count, sizeof first[0], by_name);
    for (int i = 0; i < count; i++)
        printf(" %s", first[i]);
    printf("\n");
}

/* Flags that a disk's file takes; some disks take fewer. */
static int takes(int fd, int writes, int flags)
{
    char bytes[4] = "abc";
    const struct iovec piece = {bytes, sizeof bytes};
    const ssize_t done =
        writes ? pwritev2(fd, &piece, 1, 0, flags) : preadv2(fd, &piece, 1, 0, flags);
    return done == sizeof bytes ? 0 : done >= 0 ? -1 : errno;
}

static void flags_of_a_disk(int hosted)
{
    static const int flags[] = {RWF_NOWAIT, RWF_DONTCACHE, RWF_HIPRI,
                                RWF_DSYNC,  RWF_APPEND,    0x4000};
    const int plain = open("../src/plain", O_RDWR | O_CREAT, 0600);
    write(plain, "abcd", 4);
    write(hosted, "abcd", 4);
    for (int i = 0; i < 12; i++) {
        const int there = takes(plain, i % 2, flags[i / 2]),
                  here = takes(hosted, i % 2, flags[i / 2]);
        if (here != there && there != EAGAIN)
            printf("flags %x: %s, not %s\n", flags[i / 2], strerror(here), strerror(there));
    }
    close(plain);
    unlink("../src/plain");
}

int main(void)
{
    struct statfs whole, part;
    char name[32];
    mkdir("d", 0755);
    for (int i = 0; i < 8; i++) {
        snprintf(name, sizeof name, "d/file-number-%d", i);
        close(open(name, O_CREAT | O_WRONLY, 0600));
    }
    positions();

    say_result("O_PATH | O_CREAT", open("made", O_PATH | O_CREAT, 0600));
    say_result("O_PATH | O_CREAT | O_EXCL", open("d", O_PATH | O_CREAT | O_EXCL, 0600));
    say_result("O_PATH | O_TRUNC", open("old/a", O_PATH | O_TRUNC));
    say_result("access", access("made", F_OK));

    const int fd = open("new", O_RDWR | O_CREAT, 0644);
    say_result("fchmodat2 of a descriptor", syscall(452, fd, "", 0640, AT_EMPTY_PATH));
    say_result("fchmodat2 by name", syscall(452, AT_FDCWD, "new", 0600, 0));
    say_result("fchmodat2 with flags", syscall(452, AT_FDCWD, "new", 0600, 0x40));
    struct stat st;
    say_result("fstat", fstat(fd, &st));
    printf("%o\n", st.st_mode);
    say_result("fstatfs", syscall(SYS_fstatfs, fd, &part));
    statfs("old", &whole);
    printf("the same: %d\n", part.f_type == whole.f_type);

    flags_of_a_disk(fd);

    const struct iovec *volatile nowhere = NULL;
    say_result("writev", writev(fd, nowhere, 1));
    say_result("pwritev", pwritev(fd, nowhere, 1, 0));
    const int sock = socket(AF_UNIX, SOCK_STREAM, 0);
    say_result("bind", syscall(SYS_bind, sock, 8, sizeof(struct sockaddr_un)));
    const struct sockaddr *volatile small = (const struct sockaddr *)8;
    say_result("bind by libc", bind(sock, small, sizeof(struct sockaddr_un)));

    realpath_says("no/such");
    realpath_says("d/../old/no");
    realpath_says("old/a/no");
    realpath_says("");
    return 0;
}
