/* spawning_tool.c - a build tool that spawns a step which says nothing, in ways of its own, and looks at once.
 *
 * Its arguments are two files. The step copies the first to the second, which is removed before. It is called `ninja`,
 * since a build tool is known by its name. Each way says what was seen, in a line. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define MANY 100

static char *step[] = {"cp", NULL, NULL, NULL};
static posix_spawn_file_actions_t actions;
static posix_spawnattr_t attributes;

static void begin(void)
{
    unlink(step[2]);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
}

static int spawned(pid_t *pid)
{
    const int error = posix_spawnp(pid, step[0], &actions, &attributes, step, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return error;
}

static void join(pid_t group)
{
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    posix_spawnattr_setpgroup(&attributes, group);
}

static int end_of(pid_t pid)
{
    int status = -1;
    return waitpid(pid, &status, 0) == pid ? status : -errno;
}

static void say_error(const char *way)
{
    pid_t pid = 0;
    const int error = spawned(&pid);
    printf("%s: %d\n", way, error);
    if (error == 0)
        end_of(pid);
}

static void in_a_group(void)
{
    pid_t pid = 0;
    begin();
    join(0);
    const int error = spawned(&pid);
    const pid_t group = getpgid(pid);
    printf("a group of its own: %d %d, ended %d\n", error, group == pid, end_of(pid));
    begin();
    join(getpgrp());
    const int again = spawned(&pid);
    const pid_t ours = getpgid(pid);
    printf("our group: %d %d, ended %d\n", again, ours == getpgrp(), end_of(pid));
    begin();
    join(1);
    say_error("the group of another session");
}

static void in_a_session(void)
{
    pid_t pid = 0;
    begin();
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
    const int error = spawned(&pid);
    const pid_t session = getsid(pid);
    printf("a session of its own: %d %d, ended %d\n", error, session == pid, end_of(pid));
}

static void with_a_schedule(void)
{
    const struct sched_param none = {.sched_priority = 99};
    begin();
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSCHEDULER);
    posix_spawnattr_setschedpolicy(&attributes, SCHED_OTHER);
    posix_spawnattr_setschedparam(&attributes, &none);
    say_error("a schedule that there is not");
}

static void with_descriptors(void)
{
    begin();
    posix_spawn_file_actions_adddup2(&actions, 900, 1);
    say_error("a descriptor that is not open");
    begin();
    posix_spawn_file_actions_addclose(&actions, 2);
    posix_spawn_file_actions_adddup2(&actions, 2, 1);
    say_error("one that was closed before");
    begin();
    const int other = fcntl(2, F_DUPFD_CLOEXEC, 10);
    posix_spawn_file_actions_adddup2(&actions, other, 1);
    posix_spawn_file_actions_addclose(&actions, other);
    posix_spawn_file_actions_adddup2(&actions, other, 2);
    say_error("one that was closed between");
    begin();
    posix_spawn_file_actions_addclosefrom_np(&actions, 2);
    posix_spawn_file_actions_adddup2(&actions, 2, 1);
    say_error("one of many that were closed before");
    begin();
    posix_spawn_file_actions_adddup2(&actions, 2, 1);
    posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    say_error("all but three are closed");
    close(other);
    begin();
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, 0, 1);
    say_error("one that was opened before");
    begin();
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null/none", O_RDONLY, 0);
    say_error("a file that is none");
    begin();
    posix_spawn_file_actions_addopen(&actions, 5, "made", O_WRONLY | O_CREAT, 0600);
    say_error("a file that is made");
    printf("made: %d\n", unlink("made"));
}

static void through_a_pipe(void)
{
    char byte;
    pid_t pid = 0;
    int ends[2];
    begin();
    if (pipe2(ends, O_CLOEXEC) != 0)
        return;
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 2);
    posix_spawn_file_actions_addclose(&actions, ends[1]);
    const int error = spawned(&pid);
    close(ends[1]);
    const ssize_t got = read(ends[0], &byte, 1);
    printf("a pipe: %d, then %zd bytes, ended %d\n", error, got, end_of(pid));
    close(ends[0]);
}

static void with_a_signal(void)
{
    sigset_t child, before, now;
    siginfo_t info;
    pid_t pid = 0;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, &before);
    begin();
    const int error = spawned(&pid);
    sigprocmask(SIG_BLOCK, NULL, &now);
    const int number = sigwaitinfo(&child, &info);
    printf("a signal: %d %d %d %d, ended %d; blocked %d\n", error, number == SIGCHLD,
           info.si_pid == pid, info.si_code == CLD_EXITED, end_of(pid), sigismember(&now, SIGINT));
    sigprocmask(SIG_SETMASK, &before, NULL);
}

static void unheard(void)
{
    int gone = 0, spawns = 0;
    signal(SIGCHLD, SIG_IGN);
    for (int i = 0; i < MANY; i++) {
        pid_t pid = 0;
        begin();
        join(0);
        spawns += spawned(&pid) == 0;
        gone += end_of(pid) == -ECHILD;
    }
    signal(SIGCHLD, SIG_DFL);
    printf("unheard: %d spawned, %d gone\n", spawns, gone);
}

static void many(void)
{
    pid_t all[MANY] = {0};
    int ended = 0;
    for (int i = 0; i < MANY; i++) {
        begin();
        spawned(&all[i]);
        if (i % 2 == 0)
            ended += end_of(all[i]) >= 0; /* it may fail: another one removes what it makes */
    }
    for (int i = 1; i < MANY; i += 2)
        ended += end_of(all[i]) >= 0;
    printf("many: %d ended\n", ended);
}

int main(int count, char **words)
{
    if (count != 3)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    step[1] = words[1];
    step[2] = words[2];
    in_a_group();
    in_a_session();
    with_a_schedule();
    with_descriptors();
    through_a_pipe();
    with_a_signal();
    unheard();
    many();
    printf("left: %d\n", waitpid(-1, NULL, 0) < 0 && errno == ECHILD);
    return 0;
}
