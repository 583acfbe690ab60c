/* Threads with the smallest stack that libc allows make the calls that name files: by relative and
 * absolute paths, through symlinks, from outside, and while another process sees the disk. Results are
 * said by the main thread: printf takes stack, too. */
#include <limits.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include "say.h"

extern char **environ;

static char a[PATH_MAX], b[PATH_MAX], d[PATH_MAX], l[PATH_MAX], old[PATH_MAX], out[PATH_MAX],
    top[PATH_MAX], program[PATH_MAX], answer[PATH_MAX], temporary[PATH_MAX];
static char *const arguments[] = {"true", NULL};
static struct stat st;
static struct statfs fs;

enum { RESULTS = 64 };
static struct {
    const char *what;
    long result;
    int code;
} results[RESULTS];
static int count;

#define DO(call) (errno = 0, note(#call, (long)(call)))

static void note(const char *what, long result)
{
    results[count].what = what;
    results[count].result = result;
    results[count++].code = errno;
}

static long opened(int fd)
{
    return fd < 0 ? -1 : close(fd);
}

static long listed(const char *path)
{
    DIR *directory = opendir(path);
    long names = 0;
    if (directory == NULL)
        return -1;
    while (readdir(directory) != NULL)
        names++;
    closedir(directory);
    return names;
}

static long spawned(void)
{
    pid_t pid;
    int status = 0;
    errno = posix_spawn(&pid, program, NULL, NULL, arguments, environ);
    return errno != 0 || waitpid(pid, &status, 0) != pid ? -1 : status;
}

static long ran(void)
{
    int status = 0;
    const pid_t pid = fork();
    if (pid == 0) {
        execv(program, arguments);
        _exit(errno);
    }
    return waitpid(pid, &status, 0) != pid ? -1 : status;
}

static long made(void)
{
    const int fd = mkstemp(temporary);
    return fd < 0 || close(fd) != 0 ? -1 : unlink(temporary);
}

static void *work(void *argument)
{
    static const struct open_how how = {.flags = O_RDONLY, .resolve = RESOLVE_NO_MAGICLINKS};
    DO(opened(open(a, O_RDWR | O_CREAT | O_EXCL, 0644)));
    DO(opened(open(a, O_WRONLY | O_TRUNC)));
    DO(opened(open(old, O_RDWR)));
    DO(opened(open(d, O_RDONLY)));
    DO(stat(a, &st));
    DO(access(a, R_OK));
    DO(symlink("a", l));
    DO(lstat(l, &st));
    DO(opened(open(l, O_RDONLY)));
    DO(readlink(l, answer, sizeof answer));
    DO(realpath(l, answer) != NULL);
    DO(link(a, b));
    DO(rename(b, a));
    DO(unlink(b));
    DO(chmod(a, 0755));
    DO(chown(a, getuid(), getgid()));
    DO(utimensat(AT_FDCWD, a, NULL, 0));
    DO(truncate(a, 5000));
    DO(setxattr(a, "user.x", "y", 1, 0));
    DO(getxattr(a, "user.x", answer, 10));
    DO(statfs(a, &fs));
    DO(mkdir(d, 0755));
    DO(rename(d, b));
    DO(rmdir(b));
    DO(rename(a, out));
    DO(rename(out, a));
    DO(rename(old, b));
    DO(rename(b, old));
    DO(listed(top));
    DO(chdir(top));
    DO(chdir("..") == 0 && chdir("build") == 0);
    DO(opened((int)syscall(SYS_openat2, AT_FDCWD, a, &how, sizeof how)));
    DO(made());
    DO(spawned());
    DO(ran());
    DO(system("true"));
    DO(unlink(l));
    DO(unlink(a));
    return argument;
}

static void way(const char *from)
{
    pthread_attr_t smallest;
    pthread_t thread;
    snprintf(a, sizeof a, "%sa", from);
    snprintf(b, sizeof b, "%sb", from);
    snprintf(d, sizeof d, "%sd", from);
    snprintf(l, sizeof l, "%sl", from);
    snprintf(old, sizeof old, "%sold/a", from);
    snprintf(out, sizeof out, "../src/out");
    snprintf(top, sizeof top, "%s.", from);
    snprintf(program, sizeof program, "%strue", from);
    snprintf(temporary, sizeof temporary, "%stXXXXXX", from);
    count = 0;
    pthread_attr_init(&smallest);
    pthread_attr_setstacksize(&smallest, PTHREAD_STACK_MIN);
    if (pthread_create(&thread, &smallest, work, NULL) != 0 || pthread_join(thread, NULL) != 0)
        say("thread", -1);
    for (int i = 0; i < count; i++) {
        errno = results[i].code;
        say(results[i].what, results[i].result);
    }
}

static void all_ways(void)
{
    char absolute[PATH_MAX - 64], here[PATH_MAX - 128];
    if (getcwd(here, sizeof here) == NULL)
        return;
    way("");
    way("way/../");
    snprintf(absolute, sizeof absolute, "%s/", here);
    way(absolute);
    snprintf(absolute, sizeof absolute, "%s/way/../", here);
    way(absolute);
    way("../src/in/");
}

int main(void)
{
    int ready[2], over[2];
    char byte = 0;
    if (system("cp /bin/true true") != 0 || symlink("old", "way") != 0 ||
        symlink("../build", "../src/in") != 0 || pipe(ready) != 0 || pipe(over) != 0)
        return 1;
    all_ways();
    fflush(stdout);
    if (fork() == 0) { /* below another root, if it may: such a process sees the disk */
        close(over[1]);
        say("chroot", chroot("old"));
        write(ready[1], &byte, 1);
        read(over[0], &byte, 1);
        _exit(0);
    }
    read(ready[0], &byte, 1);
    all_ways();
    close(over[1]);
    wait(NULL);
    return 0;
}
