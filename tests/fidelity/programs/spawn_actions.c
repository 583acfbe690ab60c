/* posix_spawn's list of actions: files are opened when the child starts, from the directory it is
 * in by then, once for each spawn; closefrom, dup2 and close keep their order. */
#include <spawn.h>

#include "say.h"

extern char **environ;

static void run(const char *name, const posix_spawn_file_actions_t *actions, const char *command)
{
    char *argv[] = {"sh", "-c", (char *)command, NULL};
    pid_t pid;
    int status = 0;
    fflush(stdout);
    const int rc = posix_spawn(&pid, "/bin/sh", actions, NULL, argv, environ);
    if (rc == 0)
        waitpid(pid, &status, 0);
    printf("%s: %s, %d\n", name, rc == 0 ? "ok" : strerrorname_np(rc), WEXITSTATUS(status));
    fflush(stdout);
}

static void count_descriptors(const char *when)
{
    int count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    printf("descriptors %s: %d\n", when, count);
}

int main(void)
{
    posix_spawn_file_actions_t actions;
    count_descriptors("first");

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "out", O_WRONLY | O_CREAT | O_EXCL, 0640);
    SAY(access("out", F_OK)); /* not yet */
    run("create", &actions, "echo one");
    show_file("out");
    run("create again", &actions, "echo two"); /* EEXIST */
    posix_spawn_file_actions_destroy(&actions);

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "out", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 7, "log", O_WRONLY | O_CREAT | O_APPEND, 0644);
    posix_spawn_file_actions_adddup2(&actions, 7, 1);
    posix_spawn_file_actions_addclose(&actions, 7);
    run("append", &actions, "cat; echo end; (echo lost >&7) 2>/dev/null");
    run("append again", &actions, "cat");
    show_file("log");
    posix_spawn_file_actions_destroy(&actions);

    mkdir("sub", 0755);
    write_file("sub/in", "from sub\n");
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addchdir_np(&actions, "sub");
    posix_spawn_file_actions_addopen(&actions, 0, "in", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, "out2", O_WRONLY | O_CREAT, 0644);
    run("chdir", &actions, "cat; ls");
    show_file("sub/out2");
    posix_spawn_file_actions_destroy(&actions);

    const int directory = open("sub", O_RDONLY | O_DIRECTORY);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addfchdir_np(&actions, directory);
    posix_spawn_file_actions_addopen(&actions, 0, "in", O_RDONLY, 0);
    run("fchdir", &actions, "cat; test -e /proc/self/fd/0 && echo open");
    posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    posix_spawn_file_actions_addopen(&actions, 5, "out3", O_WRONLY | O_CREAT | O_EXCL, 0600);
    run("closefrom", &actions, "echo five >&5; ls /proc/self/fd | wc -l");
    show_file("sub/out3");
    posix_spawn_file_actions_destroy(&actions);
    close(directory);

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 5, "sub", O_RDONLY | O_DIRECTORY, 0);
    posix_spawn_file_actions_adddup2(&actions, 5, 6);
    posix_spawn_file_actions_addfchdir_np(&actions, 6);
    posix_spawn_file_actions_addopen(&actions, 0, "in", O_RDONLY, 0);
    run("fchdir to what it opened", &actions, "cat");
    posix_spawn_file_actions_addopen(&actions, 7, "/", O_RDONLY | O_DIRECTORY, 0);
    posix_spawn_file_actions_addfchdir_np(&actions, 7);
    posix_spawn_file_actions_addchdir_np(&actions, "tmp");
    run("fchdir outside", &actions, "pwd");
    posix_spawn_file_actions_destroy(&actions);

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "none/in", O_RDONLY, 0);
    run("no directory", &actions, "cat");
    posix_spawn_file_actions_destroy(&actions);

    write_file("sub/tool", "#!/bin/sh\necho tool $0\n");
    chmod("sub/tool", 0755);
    char *argv[] = {"tool", NULL};
    pid_t pid;
    int status;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addchdir_np(&actions, "sub");
    const int rc = posix_spawn(&pid, "./tool", &actions, NULL, argv, environ);
    if (rc == 0)
        waitpid(pid, &status, 0);
    printf("program after chdir: %d\n", rc);
    fflush(stdout);
    mkdir("sub/bin", 0755);
    write_file("sub/bin/new", "#!/bin/sh\necho new $0\n"); /* the disk does not have it yet */
    chmod("sub/bin/new", 0755);
    setenv("PATH", "bin:/usr/bin:/bin", 1);
    const int along = posix_spawnp(&pid, "new", &actions, NULL, argv, environ);
    if (along == 0)
        waitpid(pid, &status, 0);
    printf("path in the child: %d\n", along);
    setenv("PATH", "sub/bin:/usr/bin:/bin", 1);
    printf("path in the parent: %d\n", posix_spawnp(&pid, "new", &actions, NULL, argv, environ));
    fflush(stdout);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawn_file_actions_init(&actions);
    write_file("sub/file", "");
    posix_spawn_file_actions_addchdir_np(&actions, "sub/file");
    printf("chdir to a file: %s\n",
           strerrorname_np(posix_spawn(&pid, "/bin/true", &actions, NULL, argv, environ)));
    posix_spawn_file_actions_destroy(&actions);
    count_descriptors("last");
    return 0;
}
