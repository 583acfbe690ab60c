/* stub.c - a process without a program.
 *
 * The build tool waits for a child: a pid, the end of its pipes, a status. So there is one: it shares our memory, as
 * posix_spawn's own does until it execs, performs the actions, writes what the step said when it ran, and ends.
 * 0.1 ms, where a shell takes 1.5. */
#include "stub.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "actions.h"
#include "preload/base/raw.h"

#define STACK_BYTES (64u << 10)

/* ---- where streams lead ---------------------------------------------------------------------- */

/* The child's descriptor `fd`, as one of ours; -1: none, -2: /dev/null, -3: a file that an action opens. */
static int leads_to(const posix_spawn_file_actions_t *list, int fd)
{
    for (int at = list == NULL ? 0 : list->__used; at-- > 0;) {
        const struct __spawn_action *action = &list->__actions[at];
        if (action->tag == ACTION_OPEN && action->open.fd == fd)
            return strcmp(action->open.path, "/dev/null") == 0 ? -2 : -3;
        if (action->tag == ACTION_DUP2 && action->dup2.to == fd)
            fd = action->dup2.from;
        else if (action->tag == ACTION_CLOSE && action->fd == fd)
            return -1;
    }
    return fd;
}

static bool is_null(const struct stat *stat)
{
    return S_ISCHR(stat->st_mode) && stat->st_rdev == 0x103;
}

static uint32_t stream_of(int fd, uint64_t *pipe, uint64_t *inode)
{
    struct stat stat;
    if (fd == -2)
        return VELO_STREAM_NULL;
    if (fd < 0 || raw_fstat(fd, &stat) != 0)
        return VELO_STREAM_OTHER;
    *inode = stat.st_ino;
    if (is_null(&stat))
        return VELO_STREAM_NULL;
    if (S_ISREG(stat.st_mode))
        return VELO_STREAM_FILE;
    if (!S_ISFIFO(stat.st_mode))
        return VELO_STREAM_OTHER;
    *pipe = stat.st_ino;
    return VELO_STREAM_PIPE;
}

bool velo_stub_streams(const posix_spawn_file_actions_t *list, struct velo_step *step)
{
    uint64_t ignored = 0;
    for (int at = 0; list != NULL && at < list->__used; at++) {
        const int tag = list->__actions[at].tag;
        if (tag != ACTION_CLOSE && tag != ACTION_DUP2 && tag != ACTION_OPEN &&
            tag != ACTION_CHDIR && tag != ACTION_CLOSEFROM)
            return false;
        if (tag == ACTION_CHDIR) /* then the key has another working directory than it says */
            return false;
    }
    step->streams = stream_of(leads_to(list, 0), &ignored, &step->inodes[0]);
    step->streams |= stream_of(leads_to(list, 1), &step->pipes[0], &step->inodes[1]) << 2;
    step->streams |= stream_of(leads_to(list, 2), &step->pipes[1], &step->inodes[2]) << 4;
    return true;
}

/* ---- the child ------------------------------------------------------------------------------- */

struct work {
    const struct velo_begun *begun;
    const posix_spawn_file_actions_t *list;
    short flags;
    pid_t group;
    bool done;
};

static long open_at(const struct __spawn_action *action)
{
    const long fd = raw_openat(AT_FDCWD, action->open.path, action->open.flags, action->open.mode);
    if (fd < 0 || fd == action->open.fd)
        return fd;
    const long rc = velo_sys3(SYS_dup3, fd, action->open.fd, 0);
    raw_close((int)fd);
    return rc;
}

static long perform(const struct __spawn_action *action)
{
    switch (action->tag) {
    case ACTION_CLOSE:
        raw_close(action->fd);
        return 0;
    case ACTION_DUP2:
        if (action->dup2.from == action->dup2.to)
            return velo_sys3(SYS_fcntl, action->dup2.to, F_SETFD, 0);
        return velo_sys3(SYS_dup3, action->dup2.from, action->dup2.to, 0);
    case ACTION_OPEN:
        return open_at(action);
    default:
        return velo_sys3(SYS_close_range, action->fd, ~0u, 0);
    }
}

static void say(int fd, const void *bytes, size_t count)
{
    const char *from = bytes;
    while (count > 0) {
        const long done = velo_sys3(SYS_write, fd, velo_word(from), count);
        if (done <= 0)
            return;
        from += done;
        count -= (size_t)done;
    }
}

static int child(void *argument)
{
    struct work *work = argument;
    const struct velo_entry *entry = work->begun->entry;
    long rc = 0;
    if ((work->flags & POSIX_SPAWN_SETSID) != 0)
        velo_sys0(SYS_setsid);
    if ((work->flags & POSIX_SPAWN_SETPGROUP) != 0)
        rc = velo_sys2(SYS_setpgid, 0, work->group);
    for (int at = 0; work->list != NULL && at < work->list->__used && rc >= 0; at++)
        rc = perform(&work->list->__actions[at]);
    if (rc >= 0) {
        say(1, velo_index_at(work->begun->index, entry->text), entry->text_size);
        say(2, velo_index_at(work->begun->index, entry->errors), entry->errors_size);
        work->done = true;
    }
    velo_sys1(SYS_exit_group, work->done ? 0 : 127);
    return 0;
}

pid_t velo_stub(const struct velo_begun *begun, const posix_spawnattr_t *attributes,
                const posix_spawn_file_actions_t *list)
{
    struct work work = {.begun = begun, .list = list};
    if (attributes != NULL) {
        work.flags = attributes->__flags;
        work.group = attributes->__pgrp;
    }
    const long stack = velo_sys6(SYS_mmap, 0, STACK_BYTES, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack < 0 && stack > -4096)
        return 0;
    const uint64_t all = ~0ull;
    uint64_t before = 0;
    const int saved = errno;
    velo_sys4(SYS_rt_sigprocmask, SIG_BLOCK, velo_word(&all), velo_word(&before), sizeof all);
    const pid_t pid = NEXT(clone)(child, (void *)(uintptr_t)(stack + STACK_BYTES),
                                  CLONE_VM | CLONE_VFORK | SIGCHLD, &work);
    velo_sys4(SYS_rt_sigprocmask, SIG_SETMASK, velo_word(&before), 0, sizeof before);
    velo_sys2(SYS_munmap, stack, STACK_BYTES);
    errno = saved;
    if (pid > 0 && !work.done)
        velo_sys4(SYS_wait4, pid, 0, 0, 0);
    return pid > 0 && work.done ? pid : 0;
}
