/* say.h - how these programs report: one line for each observation, errno by its name. */
#ifndef SAY_H
#define SAY_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* "what: 3" or "what: ENOENT". Numbers of descriptors differ between runs of a shell, so only
 * whether there is one is said of those. */
static void say(const char *what, long result)
{
    if (result == -1)
        printf("%s: %s\n", what, strerrorname_np(errno));
    else
        printf("%s: %ld\n", what, result);
    fflush(stdout);
}
#define SAY(call) (errno = 0, say(#call, (long)(call)))
#define SAY_OPEN(variable, call) (variable = (call), say(#call, variable < 0 ? -1 : 0))

static __attribute__((unused)) void write_file(const char *path, const char *text)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        say(path, -1);
    close(fd);
}

static __attribute__((unused)) void show_file(const char *path)
{
    char text[4096];
    const int fd = open(path, O_RDONLY);
    const ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (size < 0) {
        say(path, -1);
    } else {
        text[size] = 0;
        printf("%s: \"%s\"\n", path, text);
    }
    if (fd >= 0)
        close(fd);
    fflush(stdout);
}

/* Runs `body` in a child and says how that ended. */
#define IN_CHILD(name, body)                                                                       \
    do {                                                                                           \
        fflush(stdout);                                                                            \
        const pid_t child_ = fork();                                                               \
        if (child_ == 0) {                                                                         \
            body;                                                                                  \
            fflush(stdout);                                                                        \
            _exit(0);                                                                              \
        }                                                                                          \
        int status_ = 0;                                                                           \
        waitpid(child_, &status_, 0);                                                              \
        if (WIFSIGNALED(status_))                                                                  \
            printf("%s: killed by SIG%s\n", name, sigabbrev_np(WTERMSIG(status_)));                \
        else if (WEXITSTATUS(status_) != 0)                                                        \
            printf("%s: exit %d\n", name, WEXITSTATUS(status_));                                   \
    } while (0)

#endif
