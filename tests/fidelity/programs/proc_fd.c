/* /proc/self/fd, /dev/fd and /dev/std*: what they are called, and opening through them. */
#include <limits.h>

#include "say.h"

static char here[PATH_MAX];

static void name_of(const char *when, int fd)
{
    char link[64], target[PATH_MAX];
    sprintf(link, "/proc/self/fd/%d", fd);
    const ssize_t length = readlink(link, target, sizeof target - 1);
    if (length < 0) {
        say(link, -1);
        return;
    }
    target[length] = 0;
    const size_t skip = strncmp(target, here, strlen(here)) == 0 ? strlen(here) : 0;
    printf("%s: %s%s (%ld)\n", when, skip != 0 ? "." : "", target + skip,
           (long)length - (long)skip);
    struct stat by_link, by_fd, of_link;
    stat(link, &by_link), fstat(fd, &by_fd), lstat(link, &of_link);
    printf("  one file %d, link is a link %d\n",
           by_link.st_ino == by_fd.st_ino && by_link.st_dev == by_fd.st_dev,
           S_ISLNK(of_link.st_mode));
    char short_target[6] = "";
    printf("  cut short: %ld\n", (long)readlink(link, short_target, 5));
}

/* As fuser and lsof find out who has a file open. */
static void seen_by_others(const char *path, int fd)
{
    char link[64];
    struct stat by_stat, by_path;
    struct statx by_statx;
    sprintf(link, "/proc/%d/fd/%d", (int)getppid(), fd);
    stat(path, &by_path), stat(link, &by_stat);
    statx(AT_FDCWD, link, AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, STATX_INO, &by_statx);
    printf("one file for others: %d %d\n", by_stat.st_ino == by_path.st_ino,
           by_statx.stx_ino == by_path.st_ino);
}

static int again(int fd, const char *base, int flags)
{
    char link[64];
    sprintf(link, "%s%d", base, fd);
    return open(link, flags);
}

int main(void)
{
    if (getcwd(here, sizeof here) == NULL)
        return 1;
    mkdir("d", 0755);
    write_file("d/f", "0123456789");
    const int fd = open("d/f", O_RDONLY);
    name_of("open", fd);
    rename("d", "e");
    name_of("directory renamed", fd);
    rename("e/f", "g");
    name_of("moved", fd);
    IN_CHILD("seen by others", seen_by_others("g", fd));
    link("g", "h");
    char byte[8] = "";
    read(fd, byte, 3);

    const int reader = again(fd, "/proc/self/fd/", O_RDONLY);
    SAY(read(reader, byte, 2));
    printf("offset of its own: %.2s, %ld\n", byte, (long)lseek(fd, 0, SEEK_CUR));
    const int writer = again(fd, "/dev/fd/", O_WRONLY); /* more than fd may */
    SAY(write(writer, "AB", 2));
    SAY(write(fd, "AB", 2));
    show_file("g");
    close(again(fd, "/proc/self/fd/", O_WRONLY | O_TRUNC));
    struct stat now;
    fstat(fd, &now);
    printf("truncated through /proc: %ld\n", (long)now.st_size);
    SAY(again(fd, "/proc/self/fd/", O_RDONLY | O_DIRECTORY));
    SAY(again(fd, "/proc/self/fd/", O_RDONLY | O_NOFOLLOW));
    SAY(again(fd, "/proc/self/fd/", O_RDONLY | O_CREAT | O_EXCL));
    char link_path[64];
    sprintf(link_path, "/proc/self/fd/%d", fd);
    SAY(access(link_path, R_OK));
    SAY(chmod(link_path, 0640));
    SAY(truncate(link_path, 6));
    stat("h", &now);
    printf("through the link: %o %ld\n", now.st_mode, (long)now.st_size);

    SAY(unlink("h"));
    unlink("g");
    name_of("unlinked", fd);
    const int ghost = again(fd, "/proc/self/fd/", O_RDWR);
    SAY(pwrite(ghost, "ghost", 5, 0));
    SAY(pread(fd, byte, 5, 0));
    printf("%.5s\n", byte);
    write_file("g", "another");
    name_of("its name is another's", fd);

    const int input = open("in", O_RDWR | O_CREAT, 0600);
    write(input, "line one\nline two\n", 18);
    lseek(input, 0, SEEK_SET);
    dup2(input, 0);
    name_of("stdin", 0);
    char line[64];
    FILE *stream = fopen("/dev/stdin", "r");
    printf("/dev/stdin: %s", fgets(line, sizeof line, stream));
    fclose(stream);
    printf("own offset: %ld\n", (long)lseek(0, 0, SEEK_CUR));
    struct stat by_name;
    stat("/dev/stdin", &by_name);
    fstat(input, &now);
    printf("/dev/stdin is it: %d, size %ld\n", by_name.st_ino == now.st_ino, (long)by_name.st_size);
    IN_CHILD("out", {
        const int out = open("out", O_WRONLY | O_CREAT, 0644);
        dup2(out, 1);
        const int more = open("/dev/stdout", O_WRONLY | O_APPEND);
        write(1, "first ", 6);
        write(more, "second\n", 7);
    });
    show_file("out");
    const int path_only = open("in", O_PATH);
    name_of("O_PATH", path_only);
    SAY(read(path_only, byte, 1));
    const int opened = again(path_only, "/proc/self/fd/", O_RDONLY);
    SAY(read(opened, byte, 4));
    const int directory = open("e", O_RDONLY | O_DIRECTORY);
    name_of("directory", directory);
    close(again(directory, "/proc/self/fd/", O_RDONLY));
    sprintf(link_path, "/proc/self/fd/%d/x", directory);
    write_file(link_path, "by magic link");
    show_file("e/x");
    rmdir("e");
    unlink("e/x");
    rmdir("e");
    name_of("removed directory", directory);
    return 0;
}
