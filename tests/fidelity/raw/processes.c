/* processes.c - raw calls after every way to make a process or a thread, and what exec inherits. */
#include <sched.h>
#include <spawn.h>
#include <sys/mman.h>

#include "raw.h"

extern char **environ;
static const char *self;

static void ended(const char *how, pid_t child)
{
    int status = -1;
    waitpid(child, &status, __WALL);
    SAY("%s: %x", how, (unsigned)status);
}

static int body(void *name)
{
    const int good = make(name) && size_of(name) == (long)strlen(name);
    _exit(good ? 0 : 1);
}

static void forks(void)
{
    pid_t child = fork();
    if (child == 0)
        body("by-fork");
    ended("fork", child);
    child = _Fork();
    if (child == 0)
        body("by-_Fork");
    ended("_Fork", child);
    child = (pid_t)RAW(SYS_fork);
    if (child == 0)
        body("by-raw-fork");
    ended("raw fork", child);
    child = (pid_t)RAW(SYS_clone, SIGCHLD);
    if (child == 0)
        body("by-raw-clone");
    ended("raw clone", child);
    child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0)
        body("by-syscall-clone");
    ended("syscall clone", child);
    static char stack[1 << 18] __attribute__((aligned(16)));
    child = clone(body, stack + sizeof stack, SIGCHLD, "by-clone");
    ended("clone", child);
    SAY("parent makes %d", make("by-parent"));
}

/* vfork children may only exec: what they are is told by their status. */
static void vforks(void)
{
    char *const told[] = {(char *)self, "told", "by-vfork", NULL};
    pid_t child = vfork();
    if (child == 0) {
        execv(self, told);
        _exit(9);
    }
    ended("vfork", child);
    char *const inline_told[] = {(char *)self, "told", "by-raw-vfork", NULL};
    child = (pid_t)RAW(SYS_vfork);
    if (child == 0) {
        RAW(SYS_execve, self, inline_told, environ);
        RAW(SYS_exit_group, 9);
    }
    ended("raw vfork", child);
    char *const spawn_told[] = {(char *)self, "told", "by-spawn", NULL};
    const int spawned = posix_spawn(&child, self, NULL, NULL, spawn_told, environ);
    ended("posix_spawn", child);
    SAY("posix_spawn %d", spawned);
    SAY("parent makes %d", make("after-vfork"));
}

/* A thread without libc: on a stack of its own, in the middle of this function's instructions. */
static volatile int arrived;

static long raw_thread(void *top)
{
    long result;
    register long r10 __asm__("r10") = 0;
    register long r8 __asm__("r8") = 0;
    __asm__ volatile("syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "movl $1, %4\n\t"
                     "mov $60, %%eax\n\t"
                     "xor %%edi, %%edi\n\t"
                     "syscall\n\t"
                     "1:"
                     : "=a"(result)
                     : "0"((long)SYS_clone),
                       "D"((long)(CLONE_VM | CLONE_FS | CLONE_FILES | SIGCHLD)), "S"(top),
                       "m"(arrived), "d"(0l), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory", "cc");
    return result;
}

static void threads(void)
{
    char *stack = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const long child = raw_thread(stack + 65536);
    SAY("raw thread %d", child > 0);
    ended("raw thread", (pid_t)child);
    SAY("arrived %d, and libc's files are ours: %d", arrived, access("by-fork", F_OK));
    SAY("parent makes %d", make("after-thread"));
}

/* What exec hands on: SIGSYS ignored or blocked by the program, not caught by us. */
static void inherits(void)
{
    sigset_t all;
    sigfillset(&all);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGSYS, SIG_IGN);
        sigprocmask(SIG_SETMASK, &all, NULL);
        execl(self, self, "told", "with-mask", NULL);
        _exit(9);
    }
    ended("exec", child);
    child = fork();
    if (child == 0) {
        execl("/nonexistent", "x", NULL);
        signal(SIGSYS, SIG_IGN);
        sigprocmask(SIG_SETMASK, &all, NULL);
        execl("/nonexistent", "x", NULL);
        body("after-failed-exec");
    }
    ended("failed exec", child);
}

static int told(const char *name)
{
    struct sigaction action;
    sigset_t mask;
    sigaction(SIGSYS, NULL, &action);
    sigprocmask(SIG_SETMASK, NULL, &mask);
    SAY("%s: default %d ignored %d blocked %d made %d", name, action.sa_handler == SIG_DFL,
        action.sa_handler == SIG_IGN, sigismember(&mask, SIGSYS), make(name));
    return 0;
}

int main(int count, char *words[])
{
    self = words[0];
    if (count > 2)
        return told(words[2]);
    forks();
    vforks();
    threads();
    inherits();
    return 0;
}
