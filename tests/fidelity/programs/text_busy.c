/* A program that runs cannot be written, and one that is being written cannot run. */
#include <signal.h>
#include <spawn.h>

#include "say.h"

extern char **environ;

static void run(const char *when, const char *path)
{
    char *argv[] = {(char *)path, "ran", NULL};
    pid_t pid;
    fflush(stdout);
    const int rc = posix_spawn(&pid, path, NULL, NULL, argv, environ);
    if (rc == 0)
        waitpid(pid, NULL, 0);
    printf("%s: %s\n", when, rc == 0 ? "ran" : strerrorname_np(rc));
    IN_CHILD(when, {
        execv(path, argv);
        say("exec", -1);
    });
}

int main(void)
{
    if (system("cp /bin/sleep sleeper && cp /bin/echo echo") != 0)
        return 1;
    int ready[2];
    if (pipe(ready) != 0)
        return 1;
    const pid_t sleeper = fork();
    if (sleeper == 0) {
        fcntl(ready[1], F_SETFD, FD_CLOEXEC); /* closed when the program runs */
        execl("./sleeper", "sleeper", "30", NULL);
        _exit(1);
    }
    close(ready[1]);
    char byte;
    read(ready[0], &byte, 1);
    SAY(open("sleeper", O_WRONLY));
    SAY(open("sleeper", O_RDWR | O_TRUNC));
    SAY(truncate("sleeper", 0));
    SAY(fopen("sleeper", "r+") == NULL);
    SAY(access("sleeper", W_OK));
    SAY(chmod("sleeper", 0700));
    SAY(rename("sleeper", "third"));
    SAY(open("third", O_WRONLY | O_APPEND));
    kill(sleeper, SIGKILL);
    waitpid(sleeper, NULL, 0);
    int fd;
    SAY_OPEN(fd, open("third", O_WRONLY | O_APPEND));

    SAY_OPEN(fd, open("echo", O_RDWR));
    run("while open for writing", "./echo");
    SAY(close(fd));
    run("closed", "./echo");
    SAY_OPEN(fd, open("echo", O_RDONLY));
    run("while open for reading", "./echo");
    write_file("script", "#!/bin/sh\necho script\n");
    chmod("script", 0755);
    SAY_OPEN(fd, open("script", O_WRONLY | O_APPEND));
    run("script", "./script");
    close(fd);
    run("script, closed", "./script");
    SAY(close(open("none", O_WRONLY | O_CREAT, 0600)));
    SAY_OPEN(fd, open("none", O_WRONLY));
    run("no program, while open for writing", "./none");
    return 0;
}
