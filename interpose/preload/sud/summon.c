/* summon.c - threads that were there before their process was watched (sud.h), because it loaded
 * code with raw system calls later: each is told to have its own handed over.
 *
 * In    the threads of this process, as /proc lists them
 * Out   a SIGSYS for each, which says that it is ours; its handler does the rest
 * Never to a thread that blocks SIGSYS: it may wait for signals by sigwait, and would get it. Such a one, and
 *       one that is stopped by a debugger, is watched from its next call that names a file */
#include "summon.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "kernel/dents.h"
#include "kernel/os.h"
#include "kernel/text.h"
#include "preload/base/raw.h"
#include "signals.h"

#define DENTS_BYTES 4096
#define STATUS_BYTES 2048
#define LIBC_SIGNALS (3ull << 31) /* 32 and 33: those that sigfillset leaves out */
#define OTHERS_MIN 4 /* links of /proc/self/task: two of its own, one for each thread */

static const char ours; /* its address: of no use to other code */

bool velo_is_summons(const siginfo_t *info)
{
    return info->si_code == SI_QUEUE && info->si_value.sival_ptr == (const void *)&ours &&
           info->si_pid == (pid_t)velo_sys0(SYS_getpid);
}

/* The signals that the thread blocks, as /proc says; all when that cannot be read. */
static uint64_t mask_of(const char *tid)
{
    char path[64] = "/proc/self/task/", text[STATUS_BYTES];
    uint64_t mask = 0;
    if (strlen(tid) > sizeof path - sizeof "/proc/self/task//status")
        return VELO_SIGSYS_BIT;
    strcat(strcat(path, tid), "/status");
    velo_os_read_text(path, text, sizeof text);
    const char *at = strstr(text, "SigBlk:\t");
    if (at == NULL)
        return VELO_SIGSYS_BIT;
    for (at += 8; *at != '\n' && *at != 0; at++)
        mask = mask << 4 | (uint64_t)(*at <= '9' ? *at - '0' : *at - 'a' + 10);
    return mask;
}

/* libc blocks all signals, also its own, while a thread begins; it waits for none of them. */
static bool may_wait_for_it(uint64_t mask)
{
    return (mask & VELO_SIGSYS_BIT) != 0 && (mask & LIBC_SIGNALS) != LIBC_SIGNALS;
}

static void summon(const char *name)
{
    siginfo_t info = {0};
    const long tid = (long)velo_read_decimal(name);
    if (tid == 0 || tid == velo_sys0(SYS_gettid) || may_wait_for_it(mask_of(name)))
        return;
    info.si_signo = SIGSYS;
    info.si_code = SI_QUEUE;
    info.si_pid = (pid_t)velo_sys0(SYS_getpid);
    info.si_value.sival_ptr = (void *)(uintptr_t)&ours;
    velo_sys4(SYS_rt_tgsigqueueinfo, info.si_pid, tid, SIGSYS, velo_word(&info));
}

void velo_summon_threads(void)
{
    struct stat stat;
    char buffer[DENTS_BYTES] __attribute__((aligned(8)));
    const char *const tasks = "/proc/self/task";
    if (raw_statat(AT_FDCWD, tasks, &stat, 0) != 0 || stat.st_nlink < OTHERS_MIN)
        return;
    const int fd = velo_os_open(tasks, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    struct velo_dents all = {.fd = fd, .buffer = buffer, .size = sizeof buffer};
    for (const struct velo_dent *dent; (dent = velo_dents_next(&all)) != NULL;)
        summon(dent->name);
    if (fd >= 0)
        velo_os_close(fd);
}
