/* Relative calls need no right to search the directories above, nor those to stay where they are. */
#include <grp.h>

#include "say.h"

static int names(DIR *directory)
{
    int count = 0;
    while (directory != NULL && readdir(directory) != NULL)
        count++;
    if (directory != NULL)
        closedir(directory);
    return directory == NULL ? -1 : count;
}

static void look(void)
{
    int fd;
    SAY(names(opendir(".")));
    SAY(names(opendir("sub")));
    SAY_OPEN(fd, open("sub", O_RDONLY | O_DIRECTORY));
    SAY_OPEN(fd, open("sub", O_PATH));
    SAY_OPEN(fd, open("link", O_PATH | O_NOFOLLOW));
    SAY_OPEN(fd, open("fifo", O_RDONLY | O_NONBLOCK));
    SAY_OPEN(fd, open("fifo", O_WRONLY | O_NONBLOCK));
    SAY_OPEN(fd, open("none", O_RDONLY));
    SAY_OPEN(fd, open("sub", O_WRONLY));
    SAY_OPEN(fd, open("closed", O_RDONLY));
    show_file("new");
    show_file("old");
    SAY_OPEN(fd, open("old", O_WRONLY | O_APPEND));
    SAY(write(fd, "more\n", 5));
    SAY(close(fd));
    show_file("old");
    SAY_OPEN(fd, open("old2", O_WRONLY | O_TRUNC));
    SAY(write(fd, "less\n", 5));
    SAY(close(fd));
    show_file("old2");
    SAY_OPEN(fd, open("another", O_CREAT | O_EXCL | O_RDWR, 0600));
    SAY(write(fd, "made\n", 5));
    SAY(close(fd));
    show_file("another");
}

int main(void)
{
    mkdir("d", 0777);
    chmod("d", 0777);
    rename("old", "d/e");
    chmod("d/e", 0777);
    chdir("d/e");
    rename("a", "old");
    rename("b", "old2");
    chmod("old", 0666);
    chmod("old2", 0666);
    write_file("closed", "");
    chmod("closed", 0);
    mkdir("sub", 0777);
    symlink("new", "link");
    mkfifo("fifo", 0666);
    chmod("fifo", 0666);
    write_file("new", "in memory\n");
    if (getuid() == 0 && (setgroups(0, NULL) != 0 || setresgid(65534, 65534, 65534) != 0 ||
                          setresuid(65534, 65534, 65534) != 0))
        return 1;
    look();
    return 0;
}
