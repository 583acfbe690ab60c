# steps into sandboxes: by every call, such that fail, by children of all kinds, with an old environment
# needs: root gcc
cat > steps.c <<'C'
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int unshare(int);
int clone(int (*)(void *), void *, int, void *, ...);
extern char **environ;
static char **old; /* the environment as it was */

static void put(const char *path, const char *text)
{
    FILE *out = fopen(path, "a");
    if (out == NULL || fputs(text, out) < 0 || fclose(out) != 0)
        printf("%s: %s\n", path, strerror(errno));
}

static void show(const char *path)
{
    char text[100] = "";
    FILE *in = fopen(path, "r");
    if (in == NULL || fgets(text, sizeof text, in) == NULL)
        printf("%s: %s\n", path, strerror(errno));
    else
        printf("%s: %s", path, text), fclose(in);
    fflush(stdout);
}

static void hide_arena(void)
{
    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
    mount("none", "/dev/shm", "tmpfs", 0, NULL);
}

static void spawn(const char *command)
{
    char *argv[] = {"sh", "-c", (char *)command, NULL};
    pid_t pid;
    fflush(stdout);
    if (posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, old) == 0)
        waitpid(pid, NULL, 0);
}

static int inside(void *name)
{
    char path[100], command[200];
    hide_arena();
    show("build/before");
    snprintf(path, sizeof path, "build/%s", (char *)name);
    put(path, "by the child\n");
    snprintf(command, sizeof command, "cat %s; echo by the shell >> %s", path, path);
    spawn(command);
    if (mount("build", "mnt", NULL, MS_BIND, NULL) == 0)
        put("mnt/bound", "bound\n");
    return 7;
}

static void after(long pid, const char *name)
{
    int status = 0;
    char path[100];
    snprintf(path, sizeof path, "build/%s", name);
    if (pid < 0)
        printf("%s: %s\n", name, strerror(errno));
    else if (waitpid((pid_t)pid, &status, __WALL) == pid)
        printf("%s: %d\n", name, WEXITSTATUS(status));
    show(path);
    put(path, "by the parent\n");
    unlink("build/bound") == 0 ? puts("bound") : puts("not bound");
}

static long raw(long number, long a, long b, long c, long d, long e)
{
#if defined(__x86_64__)
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    __asm__ volatile("syscall" : "+a"(number) : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
    if (number < 0 && number > -4096)
        errno = (int)-number, number = -1;
    return number;
#else
    return syscall(number, a, b, c, d, e);
#endif
}

static void forks(const char *name, long pid)
{
    if (pid == 0) {
        inside((void *)name);
        fflush(stdout);
        _exit(7);
    }
    after(pid, name);
}

static void vforks(void)
{
    char *argv[] = {"sh", "-c", "cat build/before; echo v > build/vfork; mount --bind build mnt; echo bound > mnt/bound", NULL};
    fflush(stdout);
    const pid_t pid = vfork();
    if (pid == 0) {
        if (unshare(CLONE_NEWNS) != 0)
            _exit(1);
        hide_arena();
        execve("/bin/sh", argv, old);
        _exit(2);
    }
    after(pid, "vfork");
}

static void fails(void)
{
    put("build/failed", "before\n");
    printf("%d", unshare(-1)), printf(" %d\n", errno);
    printf("%d", chroot("nowhere")), printf(" %d\n", errno);
    printf("%d", (int)syscall(SYS_pivot_root, "nowhere", "nowhere")), printf(" %d\n", errno);
    printf("%d", setns(-1, 0)), printf(" %d\n", errno);
    struct clone_args none = {.flags = CLONE_NEWNS | CLONE_FS, .exit_signal = SIGCHLD};
    printf("%d", (int)syscall(SYS_clone3, &none, sizeof none)), printf(" %d\n", errno);
    printf("%d", (int)syscall(SYS_clone3, NULL, sizeof none)), printf(" %d\n", errno);
    put("build/failed", "after\n");
    spawn("cat build/failed; echo more >> build/failed");
    show("build/failed");
}

int main(int argc, char **argv)
{
    static char stack[1 << 16];
    struct clone_args three = {.flags = CLONE_NEWNS, .exit_signal = SIGCHLD};
    size_t count = 0;
    while (environ[count] != NULL)
        count++;
    old = calloc(count + 1, sizeof *old);
    for (size_t i = 0; i < count; i++)
        old[i] = strdup(environ[i]);
    setvbuf(stdout, NULL, _IOLBF, 0);
    put("build/before", "before\n");
    if (argc > 1 && strcmp(argv[1], "raw") == 0) {
        forks("raw-clone", raw(SYS_clone, CLONE_NEWNS | CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0));
        forks("raw-clone3", raw(SYS_clone3, (long)&three, sizeof three, 0, 0, 0));
        const pid_t pid = fork();
        if (pid == 0)
            raw(SYS_unshare, CLONE_NEWNS, 0, 0, 0, 0);
        forks("raw-unshare", pid);
        return 0;
    }
    fails();
    fflush(stdout);
    after(clone(inside, stack + sizeof stack, CLONE_NEWNS | SIGCHLD, "clone"), "clone");
    after(clone(inside, stack + sizeof stack, CLONE_NEWNS | CLONE_NEWPID | SIGCHLD, "clone-pid"), "clone-pid");
    forks("number", syscall(SYS_clone, CLONE_NEWNS | SIGCHLD, 0, 0, 0, 0));
    forks("number3", syscall(SYS_clone3, &three, sizeof three));
    vforks();
    const pid_t pid = fork();
    if (pid == 0)
        unshare(CLONE_NEWNS);
    forks("unshare", pid);
    const pid_t user = fork();
    if (user == 0) {
        struct stat stat;
        unshare(CLONE_NEWUSER);
        if (lstat("build/before", &stat) == 0)
            printf("owner %d\n", (int)stat.st_uid);
        put("build/user", "user\n");
        spawn("ls build; stat -c %u build/before");
        _exit(0);
    }
    after(user, "user");
    spawn("ls build");
    return 0;
}
C
mkdir -p mnt; gcc -w -o steps steps.c && ./steps && ./steps raw; ls build; cat build/*; rm steps
