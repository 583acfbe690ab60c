/* A process that changed its user cannot be looked into by another of that user: what the two share
 * stays shared when the other moves the file. */
#include <grp.h>
#include <sys/inotify.h>

#include "say.h"

int main(void)
{
    int fd, watch, status;
    mkdir("d", 0777);
    chmod("d", 0777);
    chmod(".", 0777);
    SAY_OPEN(watch, inotify_init1(IN_NONBLOCK));
    SAY(inotify_add_watch(watch, "d", IN_CLOSE_WRITE | IN_CREATE));
    if (getuid() == 0 && (setgroups(0, NULL) != 0 || setresgid(65534, 65534, 65534) != 0 ||
                          setresuid(65534, 65534, 65534) != 0))
        return 1;
    SAY_OPEN(fd, open("a", O_WRONLY | O_CREAT, 0644));
    SAY(write(fd, "before", 6));
    if (fork() == 0)
        _exit(rename("a", "d/e"));
    wait(&status);
    printf("child: %d\n", status);
    SAY(pwrite(fd, ", after", 7, 6));
    SAY(close(fd));
    show_file("d/e");
    return 0;
}
