/* Calls of newer kernels that name a file by directory, path and flags: attributes, and open_tree.
 * On a kernel that has none of them all say ENOSYS. */
#include <stdint.h>
#include <sys/syscall.h>

#include "say.h"

enum { OPEN_TREE = 428, SET = 463, GET, LIST, REMOVE };

struct value {
    uint64_t at;
    uint32_t size, flags;
};

static char text[70000];
static struct value small = {0, 3, 0}, large = {0, sizeof text, 0}, room = {0, 64, 0};
static int directory;

static void attributes(int at, const char *path, int flags)
{
    printf("- %s %x\n", (uintptr_t)path < 4096 ? "no path" : path, flags);
    SAY(syscall(SET, at, path, flags, "user.one", &small, sizeof small));
    SAY(syscall(GET, at, path, flags, "user.one", &room, sizeof room));
    SAY(syscall(LIST, at, path, flags, NULL, 0));
    SAY(syscall(REMOVE, at, path, flags, "user.two"));
}

static void trees(const char *path, unsigned flags)
{
    printf("- %s %x\n", path, flags);
    struct stat stat, same;
    int fd;
    SAY_OPEN(fd, (int)syscall(OPEN_TREE, directory, path, flags));
    if (fd < 0)
        return;
    SAY(fstat(fd, &stat));
    SAY(fcntl(fd, F_GETFL));
    SAY(fcntl(fd, F_GETFD));
    SAY(fstatat(directory, path, &same, AT_SYMLINK_NOFOLLOW));
    printf("the same file: %d\n", stat.st_ino == same.st_ino && stat.st_dev == same.st_dev);
    close(fd);
}

int main(void)
{
    small.at = room.at = large.at = (uintptr_t)text;
    write_file("f", "a file\n");
    directory = open(".", O_RDONLY | O_DIRECTORY);
    const int by_path = open("f", O_PATH);
    if (mkdir("d", 0755) != 0 || symlink("f", "to-f") != 0 || symlink("f", "d/nowhere") != 0)
        return 1;
    attributes(AT_FDCWD, "f", 0);
    attributes(directory, "to-f", 0);
    attributes(directory, "to-f", AT_SYMLINK_NOFOLLOW);
    attributes(directory, "old/a", AT_SYMLINK_NOFOLLOW);
    attributes(directory, "d", 0);
    attributes(directory, "d/nowhere", 0);
    attributes(directory, "f/beyond", 0);
    attributes(directory, "f", 0x4000);
    attributes(directory, "", 0);
    attributes(directory, "", AT_EMPTY_PATH);
    attributes(by_path, "", AT_EMPTY_PATH);
    attributes(by_path, NULL, AT_EMPTY_PATH);
    attributes(-1, "f", 0);
    attributes(AT_FDCWD, (const char *)8, 0);
    SAY(syscall(SET, directory, "f", 0, "user.two", &small, sizeof small - 1));
    SAY(syscall(SET, directory, "f", 0, "user.two", (void *)8, sizeof small));
    SAY(syscall(SET, directory, "f", 0, "user.two", &large, sizeof large));
    SAY(syscall(SET, directory, "f", 0, "user.two", &(struct value){large.at, 9000, 0}, 16));
    SAY(syscall(SET, directory, "f", 0, "unknown.two", &small, sizeof small));
    SAY(syscall(REMOVE, directory, "f", 0, "user.one"));
    SAY(syscall(SET, directory, "f", 0, "user.kept", &small, sizeof small));
    trees("f", 0);
    trees("to-f", AT_SYMLINK_NOFOLLOW);
    trees("d", O_CLOEXEC);
    trees("d/nowhere", 0);
    trees("f", 0x40);
    trees("", 0);
    trees("", AT_EMPTY_PATH);
    return 0;
}
