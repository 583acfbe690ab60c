/* signals.c - raw calls in signal handlers, with all signals blocked, with handlers of the program's
 * own for SIGSYS; and what a program reads back of what it set. */
#include <poll.h>
#include <sys/time.h>
#include <ucontext.h>

#include "raw.h"

static volatile int handled;
static sigset_t all, none, before;
static const char *name;

static void in_handler(int signal)
{
    handled = make(name) ? signal : -1;
}

static void with_info(int signal, siginfo_t *info, void *context)
{
    (void)context;
    handled = signal + 1000 * (info->si_code == SI_TKILL || info->si_code == SI_USER);
}

static int names_it(const sigset_t *set)
{
    return sigismember(set, SIGSYS) + 10 * sigismember(set, SIGUSR1);
}

static void handlers(void)
{
    struct sigaction action = {.sa_flags = SA_RESTART}, old;
    sigfillset(&action.sa_mask);
    action.sa_handler = in_handler;
    TRY(sigaction(SIGUSR1, &action, NULL));
    name = "handler";
    TRY(raise(SIGUSR1));
    SAY("%d %ld", handled, size_of("handler"));
    TRY(sigaction(SIGUSR1, NULL, &old));
    SAY("mask %d flags %x same %d", names_it(&old.sa_mask), (unsigned)old.sa_flags & 0x10000000u,
        old.sa_handler == in_handler);

    static char stack[65536];
    const stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    TRY(RAW(SYS_sigaltstack, &alternate, 0));
    stack_t now;
    TRY(sigaltstack(NULL, &now));
    SAY("%d %zu", now.ss_sp == stack, now.ss_size);
    action.sa_flags = SA_ONSTACK;
    TRY(sigaction(SIGUSR2, &action, NULL));
    name = "on-stack";
    TRY(raise(SIGUSR2));
    SAY("%d %ld", handled, size_of("on-stack"));
}

static void masks(void)
{
    TRY(sigprocmask(SIG_SETMASK, &all, &before));
    SAY("before %d, made %d", names_it(&before), make("masked"));
    TRY(sigprocmask(SIG_UNBLOCK, &none, &before));
    SAY("now %d", names_it(&before));
    TRY(pthread_sigmask(SIG_SETMASK, &none, &before));
    SAY("then %d", names_it(&before));

    uint64_t raw = ~0ull, was = 0;
    TRY(RAW(SYS_rt_sigprocmask, SIG_SETMASK, &raw, &was, 8));
    SAY("was %d, made %d", (int)(was >> (SIGSYS - 1) & 1), make("masked-raw"));
    sigprocmask(SIG_SETMASK, NULL, &before);
    SAY("now %d", names_it(&before));
    raw = 0;
    TRY(RAW(SYS_rt_sigprocmask, SIG_SETMASK, &raw, &was, 8));
    SAY("was %llx", (unsigned long long)was);
    TRY(RAW(SYS_rt_sigprocmask, SIG_SETMASK, &raw, &was, 4));
    TRY(RAW(SYS_rt_sigprocmask, SIG_SETMASK, 8, &was, 8));
    sigprocmask(SIG_SETMASK, NULL, &before);
    SAY("now %d", names_it(&before));
}

static void waits(void)
{
    struct itimerval soon = {.it_value = {0, 20000}};
    struct sigaction action = {.sa_flags = 0};
    sigset_t most = all;
    action.sa_handler = in_handler;
    sigdelset(&most, SIGALRM);
    TRY(sigaction(SIGALRM, &action, NULL));
    name = "suspended";
    sigprocmask(SIG_SETMASK, &all, NULL);
    setitimer(ITIMER_REAL, &soon, NULL);
    SAY("%d", sigsuspend(&most));
    SAY("%d %ld", handled, size_of("suspended"));
    name = "polled";
    setitimer(ITIMER_REAL, &soon, NULL);
    SAY("%d", ppoll(NULL, 0, NULL, &most));
    SAY("%d %ld", handled, size_of("polled"));
    sigprocmask(SIG_SETMASK, &none, NULL);

    int ends[2];
    TRY(pipe(ends));
    name = "interrupted";
    setitimer(ITIMER_REAL, &soon, NULL);
    TRY(RAW(SYS_read, ends[0], &ends[1], 1));
    SAY("%d %ld", handled, size_of("interrupted"));
    const struct timespec second = {1, 0};
    struct timespec rest = {0, 0};
    name = "slept";
    setitimer(ITIMER_REAL, &soon, NULL);
    TRY(RAW(SYS_nanosleep, &second, &rest));
    SAY("%d %d", rest.tv_nsec > 0, handled);
}

/* A handler of its own for SIGSYS, told and called as it was set. */
static void own(void)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO}, old;
    sigaction(SIGSYS, NULL, &old);
    SAY("default %d", old.sa_handler == SIG_DFL);
    action.sa_sigaction = with_info;
    TRY(sigaction(SIGSYS, &action, &old));
    SAY("old default %d, made %d", old.sa_handler == SIG_DFL, make("own"));
    handled = 0;
    TRY(raise(SIGSYS));
    SAY("%d", handled);
    TRY(sigaction(SIGSYS, NULL, &old));
    SAY("same %d %d", old.sa_sigaction == with_info, (old.sa_flags & SA_SIGINFO) != 0);
    SAY("%d", signal(SIGSYS, SIG_IGN) == (sighandler_t)with_info);
    TRY(kill(getpid(), SIGSYS));
    SAY("made %d", make("ignored"));
    SAY("%d", signal(SIGSYS, SIG_DFL) == SIG_IGN);
    const pid_t child = fork();
    if (child == 0) {
        raise(SIGSYS);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    SAY("killed %d by %d", WIFSIGNALED(status), WTERMSIG(status));
}

/* As programs without libc set handlers: with a restorer of their own, which is a raw call too. */
void restorer(void);
__asm__("restorer:\n    mov $15, %eax\n    syscall\n");

struct kernel_action {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};

static void raw_action(void)
{
    const struct kernel_action action = {in_handler, 0x04000000 | SA_RESTART, restorer, ~0ull};
    struct kernel_action old = {0};
    TRY(RAW(SYS_rt_sigaction, SIGUSR1, &action, 0, 8));
    name = "restored";
    handled = 0;
    TRY(raise(SIGUSR1));
    SAY("%d %ld", handled, size_of("restored"));
    TRY(RAW(SYS_rt_sigaction, SIGUSR1, 0, &old, 8));
    SAY("%d %d %llx", old.handler == in_handler, old.restorer == restorer,
        (unsigned long long)old.mask | 0x40100);
    TRY(RAW(SYS_rt_sigaction, SIGSYS, &action, &old, 8));
    TRY(RAW(SYS_rt_sigaction, SIGSYS, 0, &old, 8));
    SAY("%d", old.handler == in_handler);
    TRY(RAW(SYS_rt_sigaction, SIGKILL, &action, 0, 8));
    TRY(RAW(SYS_rt_sigaction, SIGUSR1, 8, 0, 8));
    sigprocmask(SIG_SETMASK, NULL, &before);
    SAY("mask %d, made %d", names_it(&before), make("restored-after"));
}

int main(void)
{
    sigfillset(&all);
    sigemptyset(&none);
    handlers();
    masks();
    waits();
    own();
    raw_action();
    return 0;
}
