/* forking_tool.c - a build tool that forks and execs its steps, and reads what they say through a pipe of a page.
 *
 * Each argument is a step: words divided by blanks; the program is searched along $PATH. They run one after the other.
 * "<FILE PROGRAM ..." is spawned instead, with FILE as its standard input, which the child opens, and
 * waited for without a word of its end; "& PROGRAM ..." is run
 * while ends of children are ignored. It is called `ninja`, since a build tool is known by its name. Says
 * "STATUS TEXT" of each. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORDS_MAX 64

static void split(char *step, char *words[WORDS_MAX])
{
    char *rest = NULL;
    int count = 0;
    for (char *word = strtok_r(step, " ", &rest); word != NULL && count < WORDS_MAX - 1;
         word = strtok_r(NULL, " ", &rest))
        words[count++] = word;
    words[count] = NULL;
}

static pid_t forked(char *words[], const int ends[2])
{
    const pid_t pid = fork();
    if (pid != 0)
        return pid;
    dup2(ends[1], 1);
    dup2(ends[1], 2);
    close(ends[0]);
    close(ends[1]);
    execvp(words[0], words);
    _exit(127);
}

/* Whoever ignores the signal hears of no end: wait fails when the last child is gone. */
static pid_t unheard(char *words[], const int ends[2])
{
    signal(SIGCHLD, SIG_IGN);
    return forked(words + 1, ends);
}

static pid_t spawned(char *words[], const int ends[2])
{
    posix_spawn_file_actions_t actions;
    pid_t pid = 0;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, words[0] + 1, O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 2);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    posix_spawn_file_actions_addclose(&actions, ends[1]);
    const int error = posix_spawnp(&pid, words[1], &actions, NULL, words + 1, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0)
        printf("not spawned: %s\n", strerror(error));
    return error == 0 ? pid : -1;
}

static int build(char *step)
{
    int ends[2], status = 0;
    char *words[WORDS_MAX];
    char text[16384];
    size_t used = 0;
    if (pipe(ends) != 0 || fcntl(ends[1], F_SETPIPE_SZ, 4096) < 0)
        return 1;
    split(step, words);
    const pid_t pid = words[0][0] == '<'   ? spawned(words, ends)
                      : words[0][0] == '&' ? unheard(words, ends)
                                           : forked(words, ends);
    close(ends[1]);
    for (ssize_t got; (got = read(ends[0], text + used, sizeof text - 1 - used)) > 0;)
        used += (size_t)got;
    close(ends[0]);
    text[used] = 0;
    if (pid < 0)
        return 0;
    if (words[0][0] == '<' ? waitid(P_PID, (id_t)pid, NULL, WEXITED) != 0
                           : waitpid(pid, &status, 0) != pid && words[0][0] != '&')
        return 1;
    signal(SIGCHLD, SIG_DFL);
    printf("%d %s\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1, text);
    fflush(stdout);
    return 0;
}

int main(int argc, char *argv[])
{
    for (int i = 1; i < argc; i++)
        if (build(argv[i]) != 0)
            return 1;
    return 0;
}
