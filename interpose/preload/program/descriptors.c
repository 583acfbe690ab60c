/* descriptors.c - a child for work that opens files, where this process can open none.
 *
 * The child shares our memory, as one of vfork does, and its table of descriptors is a copy: closing those takes
 * nothing from us, neither locks, which are the table's, nor what is open, which we have open, too. */
#include "descriptors.h"

#include <sched.h>
#include <signal.h>

#include "kernel/os.h"
#include "preload/base/raw.h"

#define STACK_BYTES (1u << 20) /* address space; a flush takes some pages of it */
#define OLD_KERNELS_MAX 4096 /* so many are closed one by one before Linux 5.9 */

struct job {
    void (*work)(void *context);
    void *context;
    int kept;
    bool done;
};

bool velo_has_no_descriptor(void)
{
    const int fd = (int)raw_openat(AT_FDCWD, "/", O_PATH | O_CLOEXEC, 0);
    if (fd >= 0)
        raw_close(fd);
    return fd == -EMFILE || fd == -ENFILE;
}

static void close_all_but(int kept)
{
    const int from = kept < 0 ? 0 : kept + 1; /* AT_FDCWD is none, too */
    if ((kept <= 0 || velo_sys3(SYS_close_range, 0, kept - 1, 0) == 0) &&
        velo_sys3(SYS_close_range, from, ~0u, 0) == 0)
        return;
    for (int fd = 0; fd < OLD_KERNELS_MAX; fd++)
        if (fd != kept)
            raw_close(fd);
}

static int child(void *argument)
{
    struct job *job = argument;
    close_all_but(job->kept);
    job->work(job->context);
    job->done = true;
    velo_sys1(SYS_exit_group, 0);
    return 0;
}

bool velo_with_descriptors(void (*work)(void *context), void *context, int kept)
{
    struct job job = {work, context, kept, false};
    const uint64_t all = ~0ull;
    uint64_t before = 0;
    unsigned char *stack = velo_os_memory(STACK_BYTES);
    if (stack == NULL)
        return false;
    const int saved = errno;
    velo_sys4(SYS_rt_sigprocmask, SIG_BLOCK, velo_word(&all), velo_word(&before), sizeof all);
    /* No signal tells of its end, and wait(2) does not find it. */
    const int pid = NEXT(clone)(child, stack + STACK_BYTES, CLONE_VM | CLONE_VFORK, &job);
    if (pid > 0)
        velo_sys4(SYS_wait4, pid, 0, __WCLONE, 0);
    velo_sys4(SYS_rt_sigprocmask, SIG_SETMASK, velo_word(&before), 0, sizeof before);
    errno = saved;
    velo_os_unmap(stack, STACK_BYTES);
    return job.done;
}
