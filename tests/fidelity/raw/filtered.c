/* filtered.c - raw calls beside a seccomp filter that traps one call for the program's own handler
 * and denies another; in new threads and processes, too. */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <ucontext.h>

#include "raw.h"

static volatile int code, number;

static void emulate(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    ucontext_t *at = context;
    code = info->si_code;
    number = info->si_syscall;
    at->uc_mcontext.gregs[REG_RAX] = 4242;
}

static void install(void)
{
    struct sock_filter lines[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getsid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpriority, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 93),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog filter = {sizeof lines / sizeof lines[0], lines};
    TRY(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    TRY(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0));
}

static void *work(void *name)
{
    SAY("%s: %d, trapped %ld, denied %ld", (const char *)name, make(name), RAW(SYS_getsid, 0),
        RAW(SYS_getpriority, 0, 0));
    SAY("libc: trapped %d", (int)getsid(0));
    SAY("code %d number %d size %ld", code, number, size_of(name));
    return NULL;
}

int main(void)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO};
    action.sa_sigaction = emulate;
    TRY(sigaction(SIGSYS, &action, NULL));
    SAY("made %d", make("before"));
    install();
    work("main");
    pthread_t thread;
    pthread_create(&thread, NULL, work, "thread");
    pthread_join(thread, NULL);
    const pid_t child = fork();
    if (child == 0) {
        work("child");
        signal(SIGSYS, SIG_DFL);
        RAW(SYS_getsid, 0);
        SAY("not reached");
    }
    int status = 0;
    waitpid(child, &status, 0);
    SAY("killed %d by %d", WIFSIGNALED(status), WTERMSIG(status));
    return 0;
}
