/* The older way to watch a directory: fcntl(F_NOTIFY) and a signal for each change. */
#include <signal.h>

#include "say.h"

static volatile sig_atomic_t announced;

static void count(int signal)
{
    (void)signal;
    announced++;
}

static void after(const char *what, long result)
{
    say(what, result);
    printf("announced: %d\n", (int)announced);
}
#define AFTER(call) after(#call, (long)(call))

int main(void)
{
    const struct sigaction action = {.sa_handler = count, .sa_flags = SA_RESTART};
    sigaction(SIGRTMIN, &action, NULL);
    write_file("old/before", "in memory\n");
    const int fd = open("old", O_RDONLY | O_DIRECTORY);
    SAY(fcntl(fd, F_SETSIG, SIGRTMIN));
    SAY(fcntl(fd, F_NOTIFY,
              DN_CREATE | DN_MODIFY | DN_RENAME | DN_DELETE | DN_ATTRIB | DN_MULTISHOT));
    int file;
    SAY_OPEN(file, open("old/new", O_CREAT | O_WRONLY, 0600));
    AFTER(write(file, "text", 4));
    AFTER(close(file));
    AFTER(truncate("old/before", 3));
    AFTER(chmod("old/a", 0600));
    AFTER(rename("old/new", "old/newer"));
    AFTER(unlink("old/before"));
    AFTER(mkdir("old/directory", 0755));
    SAY(fcntl(fd, F_NOTIFY, 0));
    AFTER(unlink("old/newer"));
    SAY(fcntl(open("old/a", O_RDONLY), F_NOTIFY, DN_MODIFY));
    return 0;
}
