/* O_TMPFILE: a file without a name, which a link gives one, or which goes when it is closed. */
#include <limits.h>

#include "say.h"

static void show(const char *when, int fd)
{
    struct stat now;
    fstat(fd, &now);
    printf("%s: links %ld, size %ld, mode %o\n", when, (long)now.st_nlink, (long)now.st_size,
           now.st_mode);
}

static int give_name(int fd, const char *name)
{
    char link[64];
    sprintf(link, "/proc/self/fd/%d", fd);
    return linkat(AT_FDCWD, link, AT_FDCWD, name, AT_SYMLINK_FOLLOW);
}

static int entries(const char *path)
{
    DIR *directory = opendir(path);
    int count = 0;
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
}

int main(void)
{
    int fd;
    umask(027);
    mkdir("d", 0755);
    SAY(open("d", O_TMPFILE | O_RDONLY, 0600));
    SAY(open("d", O_TMPFILE | O_RDWR | O_CREAT, 0600));
    SAY(open("none", O_TMPFILE | O_RDWR, 0600));
    write_file("plain", "x");
    SAY(open("plain", O_TMPFILE | O_RDWR, 0600));

    SAY_OPEN(fd, open("d", O_TMPFILE | O_RDWR, 0666));
    show("born", fd);
    SAY(entries("d"));
    SAY(write(fd, "content", 7));
    char link[64], target[PATH_MAX] = "";
    sprintf(link, "/proc/self/fd/%d", fd);
    SAY(readlink(link, target, sizeof target - 1) > 0 && strstr(target, "/d/#") != NULL &&
        strstr(target, " (deleted)") != NULL);
    SAY(access(link, R_OK));
    SAY(give_name(fd, "plain"));
    SAY(give_name(fd, "none/x"));
    SAY(give_name(fd, "d/named"));
    show("named", fd);
    show_file("d/named");
    SAY(write(fd, ", more", 6));
    show_file("d/named");
    struct stat a, b;
    fstat(fd, &a), stat("d/named", &b);
    printf("one file: %d\n", a.st_ino == b.st_ino && a.st_dev == b.st_dev);
    SAY(give_name(fd, "second")); /* an ordinary link by now */
    show("twice", fd);
    SAY(unlink("second"));
    SAY(unlink("d/named"));
    SAY(give_name(fd, "third")); /* gone for good */
    show("unlinked", fd);
    close(fd);

    SAY_OPEN(fd, open(".", O_TMPFILE | O_WRONLY | O_EXCL, 0600));
    SAY(give_name(fd, "exclusive"));
    close(fd);
    SAY_OPEN(fd, open("d", O_TMPFILE | O_WRONLY | O_CLOEXEC | O_APPEND, 0640));
    SAY(fcntl(fd, F_GETFL) & (O_APPEND | O_ACCMODE));
    SAY(fcntl(fd, F_GETFD));
    SAY(write(fd, "by empty path", 13));
    SAY(linkat(fd, "", AT_FDCWD, "empty", AT_EMPTY_PATH));
    show_file("empty");
    SAY(fchmod(fd, 0755));
    close(fd);
    SAY_OPEN(fd, open("d", O_TMPFILE | O_RDWR, 0700));
    write(fd, "#!/bin/sh\necho a program\n", 25);
    SAY(give_name(fd, "tool"));
    close(fd);
    SAY(system("./tool"));

    const int plain = open("/tmp", O_TMPFILE | O_RDWR, 0600);
    write(plain, "from outside", 12);
    SAY(give_name(plain, "in"));
    show_file("in");
    IN_CHILD("no right to the directory", {
        chmod("d", 0555);
        if (setuid(65534) == 0)
            SAY(open("d", O_TMPFILE | O_RDWR, 0600));
    });
    chmod("d", 02755);
    SAY(entries("."));
    SAY(rmdir("d"));
    return 0;
}
