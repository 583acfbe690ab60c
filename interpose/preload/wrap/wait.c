/* wait.c - what a build tool waits for: the end of a step, and what the step said on its pipes; and the last words of
 * a process of a step. */
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "preload/base/pointers.h"
#include "preload/base/raw.h"
#include "preload/replay/printed.h"
#include "preload/replay/running.h"
#include "preload/replay/said.h"

/* The kernel may have put a file into a hosted directory: the next walk compares. */
static void has_dumped(pid_t pid)
{
    const int saved = errno;
    if (velo_here() != NULL)
        velo_core_was_dumped(velo_here(), pid);
    errno = saved;
}

EXPORT pid_t wait4(pid_t pid, int *status, int options, struct rusage *usage)
{
    int told = 0;
    if (!velo_is_recording() && velo_here() == NULL)
        return NEXT(wait4)(pid, status, options, usage);
    const pid_t ended = NEXT(wait4)(pid, &told, options, usage);
    velo_step_ended(ended, told);
    if (ended > 0 && WIFSIGNALED(told) && WCOREDUMP(told))
        has_dumped(ended);
    if (ended > 0 && velo_as_given(status) != NULL) {
        if (velo_cannot_write(status, sizeof *status))
            return (pid_t)velo_answer(-EFAULT); /* as the kernel: the child is gone all the same */
        *status = told;
    }
    return ended;
}

/* As libc's: which is wait4, too. */
EXPORT pid_t waitpid(pid_t pid, int *status, int options)
{
    return wait4(pid, status, options, NULL);
}
ALIAS(__waitpid, waitpid);

EXPORT pid_t wait3(int *status, int options, struct rusage *usage)
{
    return wait4(-1, status, options, usage);
}

EXPORT pid_t wait(int *status)
{
    return waitpid(-1, status, 0);
}

static bool is_an_end(int code)
{
    return code == CLD_EXITED || code == CLD_KILLED || code == CLD_DUMPED;
}

/* With WNOWAIT the child is still there, and comes again. */
EXPORT int waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
    siginfo_t own = {0};
    if (info == NULL && (velo_is_recording() || velo_here() != NULL))
        info = &own; /* we hear of the end also when the program does not want to */
    const int rc = NEXT(waitid)(type, id, info, options);
    if (rc != 0 || info == NULL || (options & WNOWAIT) != 0 || info->si_signo != SIGCHLD ||
        !is_an_end(info->si_code))
        return rc;
    velo_step_ended(info->si_pid,
                    info->si_code == CLD_EXITED ? info->si_status << 8 : info->si_status);
    if (info->si_code == CLD_DUMPED)
        has_dumped(info->si_pid);
    return rc;
}

/* ---- what it says ---------------------------------------------------------------------------- */

EXPORT ssize_t read(int fd, void *bytes, size_t count)
{
    velo_unit_reads(fd);
    const ssize_t done = NEXT(read)(fd, bytes, count);
    if (count != 0)
        velo_step_said(fd, bytes, done);
    return done;
}
ALIAS(__read, read);

ssize_t __read_chk(int fd, void *bytes, size_t count, size_t room);

EXPORT ssize_t __read_chk(int fd, void *bytes, size_t count, size_t room)
{
    velo_unit_reads(fd);
    const ssize_t done = NEXT(__read_chk)(fd, bytes, count, room);
    if (count != 0)
        velo_step_said(fd, bytes, done);
    return done;
}

/* ---- last words ------------------------------------------------------------------------------ */

EXPORT void _exit(int status)
{
    velo_unit_vouch(1);
    for (;;)
        velo_sys1(SYS_exit_group, status);
}
ALIAS(_Exit, _exit);
