/* probe.c - the smallest programs that cost what a build's calls cost, timed from inside.
 *
 *   probe spawn COUNT PROGRAM       posix_spawn + waitpid of PROGRAM
 *   probe create DIR COUNT BYTES    open(O_CREAT) + write + close of new files
 *   probe stat DIR COUNT            stat of files that create made, and of as many that are missing
 *   probe read DIR COUNT BYTES      open + fstat + read + close of the same files
 *
 * Out: one number, nanoseconds per operation. Never: time its own start or an untimed warm-up. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;
static unsigned char buffer[1 << 20];

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void name_of(char path[4096], const char *directory, long index, const char *suffix)
{
    snprintf(path, 4096, "%s/file%06ld%s", directory, index, suffix);
}

static void spawn_one(char *program)
{
    pid_t pid;
    char *arguments[] = {program, NULL};
    if (posix_spawn(&pid, program, NULL, NULL, arguments, environ) != 0)
        fail(program);
    int status;
    if (waitpid(pid, &status, 0) < 0 || status != 0)
        fail("waitpid");
}

static void create_one(const char *directory, long index, size_t size)
{
    char path[4096];
    name_of(path, directory, index, "");
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, buffer, size) != (ssize_t)size || close(fd) != 0)
        fail(path);
}

static void stat_one(const char *directory, long index)
{
    char path[4096];
    struct stat found;
    name_of(path, directory, index, "");
    if (stat(path, &found) != 0)
        fail(path);
    name_of(path, directory, index, ".missing");
    if (stat(path, &found) == 0)
        fail("a file that nobody made");
}

static void read_one(const char *directory, long index, size_t size)
{
    char path[4096];
    struct stat found;
    name_of(path, directory, index, "");
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &found) != 0 || read(fd, buffer, size) != (ssize_t)size)
        fail(path);
    close(fd);
}

int main(int count, char **words)
{
    if (count < 4)
        return 2;
    const char *what = words[1];
    const int spawns = strcmp(what, "spawn") == 0;
    const long times = atol(words[spawns ? 2 : 3]);
    const size_t size = count > 4 ? (size_t)atol(words[4]) : 0;
    if (size > sizeof buffer || times <= 0)
        return 2;
    if (spawns)
        spawn_one(words[3]);
    const double start = now_ns();
    for (long i = 0; i < times; i++) {
        if (spawns)
            spawn_one(words[3]);
        else if (strcmp(what, "create") == 0)
            create_one(words[2], i, size);
        else if (strcmp(what, "stat") == 0)
            stat_one(words[2], i);
        else
            read_one(words[2], i, size);
    }
    printf("%.1f\n", (now_ns() - start) / (double)(strcmp(what, "stat") == 0 ? 2 * times : times));
    return 0;
}
