/* stub.c - a process without a program.
 *
 * The build tool waits for a child: a pid, the end of its pipes, a status. So there is one: it shares our memory, as
 * posix_spawn's own does until it execs, performs the actions, writes what the step said when it ran, and ends.
 * 0.1 ms, where a shell takes 1.5. Most steps say nothing, and their actions only lay descriptors out: their child
 * ends at once, on another processor, while the build tool goes on. */
#include "stub.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "actions.h"
#include "kernel/os.h"
#include "preload/base/raw.h"
#include "preload/replay/special.h"
#include "preload/sud/sud.h"

#define STACK_BYTES (64u << 10)
/* Those that a stub performs, or that cannot be seen of it. */
#define KNOWN_FLAGS                                                                                \
    (POSIX_SPAWN_RESETIDS | POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF |                        \
     POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_USEVFORK | POSIX_SPAWN_SETSID)

/* ---- where streams lead ---------------------------------------------------------------------- */

enum { LEADS_NOWHERE = -1, LEADS_TO_NULL = -2, LEADS_TO_A_FILE = -3 /* that an action opens */ };

static int count_of(const posix_spawn_file_actions_t *list)
{
    return list == NULL ? 0 : list->__used;
}

/* What the child has as `fd` when it has performed `count` actions: one of our descriptors, or one of these. */
static int leads_to(const posix_spawn_file_actions_t *list, int count, int fd)
{
    while (count-- > 0) {
        const struct __spawn_action *action = &list->__actions[count];
        if (action->tag == ACTION_OPEN && action->open.fd == fd)
            return strcmp(action->open.path, "/dev/null") == 0 ? LEADS_TO_NULL : LEADS_TO_A_FILE;
        if (action->tag == ACTION_DUP2 && action->dup2.to == fd)
            fd = action->dup2.from;
        else if ((action->tag == ACTION_CLOSE && action->fd == fd) ||
                 (action->tag == ACTION_CLOSEFROM && action->fd <= fd))
            return LEADS_NOWHERE;
    }
    return fd;
}

/* The kind of the step's stream `which`, to which `fd` leads. */
static uint32_t stream_of(int fd, struct velo_step *step, int which)
{
    struct stat stat;
    if (fd == LEADS_TO_NULL)
        return VELO_STREAM_NULL;
    if (fd < 0 || raw_fstat(fd, &stat) != 0)
        return VELO_STREAM_OTHER;
    step->inodes[which] = stat.st_ino;
    step->devices[which] = stat.st_dev;
    if (velo_is_null(&stat))
        return VELO_STREAM_NULL;
    if (S_ISREG(stat.st_mode))
        return VELO_STREAM_FILE;
    if (S_ISCHR(stat.st_mode) && step->width == 0)
        step->width = velo_columns_of(fd); /* compilers cut the lines that they show there */
    if (!S_ISFIFO(stat.st_mode))
        return VELO_STREAM_OTHER;
    if (which > 0)
        step->pipes[which - 1] = stat.st_ino;
    return VELO_STREAM_PIPE;
}

/* Where the child's standard streams will lead, with these actions. False: it cannot be told. */
static bool find_streams(const posix_spawn_file_actions_t *list, struct velo_step *step)
{
    for (int at = 0; at < count_of(list); at++) {
        const int tag = list->__actions[at].tag;
        /* A change of directory: then the key has another working directory than it says. */
        if (tag != ACTION_CLOSE && tag != ACTION_DUP2 && tag != ACTION_OPEN &&
            tag != ACTION_CLOSEFROM)
            return false;
    }
    step->streams = 0;
    step->width = 0;
    for (int which = 0; which < 3; which++)
        step->streams |= stream_of(leads_to(list, count_of(list), which), step, which) << 2 * which;
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

static void say_all(const struct velo_begun *begun)
{
    const struct velo_entry *entry = begun->entry;
    say(1, velo_index_at(begun->index, entry->text), entry->text_size);
    say(2, velo_index_at(begun->index, entry->errors), entry->errors_size);
}

static int child(void *argument)
{
    struct work *work = argument;
    long rc = 0;
    if ((work->flags & POSIX_SPAWN_SETSID) != 0)
        velo_sys0(SYS_setsid);
    if ((work->flags & POSIX_SPAWN_SETPGROUP) != 0)
        rc = velo_sys2(SYS_setpgid, 0, work->group);
    for (int at = 0; at < count_of(work->list) && rc >= 0; at++)
        rc = perform(&work->list->__actions[at]);
    if (rc >= 0) {
        say_all(work->begun);
        work->done = true;
    }
    velo_sys1(SYS_exit_group, work->done ? 0 : 127);
    return 0;
}

/* The reader of the pipe may be waiting for the child to be there, so what the stub says must fit in now. Not into a
 * hosted file: a file that grows is charged, and may have to be led away, which is its program's business. */
static bool has_room(int fd, size_t bytes)
{
    struct stat stat;
    int waiting = 0;
    if (bytes == 0 || fd == LEADS_TO_NULL)
        return true;
    if (fd < 0 || raw_fstat(fd, &stat) != 0)
        return false;
    if (!S_ISFIFO(stat.st_mode))
        return !S_ISREG(stat.st_mode) || !velo_is_node(velo_node_of(velo_here(), &stat));
    const long size = velo_sys3(SYS_fcntl, fd, F_GETPIPE_SZ, 0);
    return velo_sys3(SYS_ioctl, fd, FIONREAD, velo_word(&waiting)) == 0 &&
           size - waiting >= (long)bytes;
}

static bool can_say(const posix_spawn_file_actions_t *list, const struct velo_entry *entry)
{
    const size_t all = (size_t)entry->text_size + entry->errors_size; /* both may be one pipe */
    const int count = count_of(list);
    return has_room(leads_to(list, count, 1), entry->text_size == 0 ? 0 : all) &&
           has_room(leads_to(list, count, 2), entry->errors_size == 0 ? 0 : all);
}

void velo_stub_decide(const posix_spawn_file_actions_t *list, struct velo_step *step,
                      struct velo_begun *begun)
{
    if (find_streams(list, step) && velo_step_find(step, begun))
        velo_step_decide(step, begun, begun->entry != NULL && can_say(list, begun->entry));
}

void velo_stub_here(const char *path, char *const argv[], char *const envp[],
                    struct velo_begun *begun)
{
    struct velo_step step = {.program = path, .argv = argv, .envp = envp};
    *begun = (struct velo_begun){.decision = VELO_STEP_PLAIN};
    /* A vfork child stands on its parent's memory, where other threads open and write. */
    if (!velo_vfork_child && argv != NULL && envp != NULL)
        velo_stub_decide(NULL, &step, begun);
    if (begun->decision == VELO_STEP_ANSWERED) {
        say_all(begun);
        velo_step_answered(begun);
        velo_sys1(SYS_exit_group, 0);
    }
    velo_step_started(begun, (pid_t)velo_sys0(SYS_getpid));
}

/* ---- the child of a step that says nothing --------------------------------------------------- */

static bool null_opens(void)
{
    static _Atomic bool did;
    if (!atomic_load(&did)) {
        const int fd = (int)raw_openat(AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC, 0);
        if (fd < 0)
            return false;
        raw_close(fd);
        atomic_store(&did, true);
    }
    return true;
}

/* Action `at` cannot fail, and is seen by the child alone. */
static bool is_harmless(const posix_spawn_file_actions_t *list, int at)
{
    const struct __spawn_action *action = &list->__actions[at];
    if (action->tag == ACTION_OPEN)
        return action->open.fd <= 2 && strcmp(action->open.path, "/dev/null") == 0 &&
               (action->open.flags & ~O_ACCMODE) == 0 && null_opens();
    if (action->tag != ACTION_DUP2)
        return true;
    const int from = leads_to(list, at, action->dup2.from);
    return action->dup2.to <= 2 &&
           (from == LEADS_TO_NULL || (from >= 0 && velo_sys2(SYS_fcntl, from, F_GETFD) >= 0));
}

static bool says_nothing(const struct work *work)
{
    const struct velo_entry *entry = work->begun->entry;
    if (entry->text_size + entry->errors_size > 0 || (work->flags & POSIX_SPAWN_SETSID) != 0)
        return false;
    for (int at = 0; at < count_of(work->list); at++)
        if (!is_harmless(work->list, at))
            return false;
    return true;
}

/* It has our memory and our stack, and touches neither, so that nothing waits for it. All signals are blocked.
 * Not through the gate (sys.h): the return address would lie on that stack. */
static pid_t clone_to_end(void)
{
    const long flags = CLONE_VM | SIGCHLD;
    const unsigned char selected = velo_selector;
    velo_selector = VELO_PASSES;
#if defined(__x86_64__)
    long pid;
    register long r10 __asm__("r10") = 0;
    register long r8 __asm__("r8") = 0;
    __asm__ volatile("syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xor %%edi, %%edi\n\t"
                     "mov %[end], %%eax\n\t"
                     "syscall\n"
                     "1:"
                     : "=a"(pid)
                     : "0"((long)SYS_clone), "D"(flags), "S"(0L), "d"(0L), "r"(r10),
                       "r"(r8), [end] "i"(SYS_exit_group)
                     : "rcx", "r11", "memory", "cc");
#else
    register long x8 __asm__("x8") = SYS_clone;
    register long pid __asm__("x0") = flags;
    register long x1 __asm__("x1") = 0;
    register long x2 __asm__("x2") = 0;
    register long x3 __asm__("x3") = 0;
    register long x4 __asm__("x4") = 0;
    __asm__ volatile("svc #0\n\t"
                     "cbnz x0, 1f\n\t"
                     "mov x8, %[end]\n\t"
                     "svc #0\n"
                     "1:"
                     : "+r"(pid), "+r"(x8)
                     : "r"(x1), "r"(x2), "r"(x3), "r"(x4), [end] "i"(SYS_exit_group)
                     : "memory", "cc");
#endif
    velo_selector = selected;
    return (pid_t)pid;
}

/* A caller of posix_spawn finds the child in its group, so it is not left to the child. One whose end is ignored may
 * be gone. */
static bool joins_group(const struct work *work, pid_t pid)
{
    if ((work->flags & POSIX_SPAWN_SETPGROUP) == 0)
        return true;
    const long rc = velo_sys2(SYS_setpgid, pid, work->group);
    return rc == 0 || rc == -ESRCH;
}

/* ---- the child of one that does -------------------------------------------------------------- */

/* One is kept, so that a stub does not pay for its pages each time. The child has ended, or become another image, when
 * clone returns. */
static _Atomic(unsigned char *) spare;

static unsigned char *take_stack(void)
{
    unsigned char *kept = atomic_exchange(&spare, NULL);
    return kept != NULL ? kept : velo_os_memory(STACK_BYTES);
}

static void give_stack(unsigned char *stack)
{
    unsigned char *none = NULL;
    if (!atomic_compare_exchange_strong(&spare, &none, stack))
        velo_os_unmap(stack, STACK_BYTES);
}

pid_t velo_stub(const struct velo_begun *begun, const posix_spawnattr_t *attributes,
                const posix_spawn_file_actions_t *list)
{
    struct work work = {.begun = begun, .list = list};
    if (attributes != NULL) {
        work.flags = attributes->__flags;
        work.group = attributes->__pgrp;
    }
    if ((work.flags & ~KNOWN_FLAGS) != 0) /* the kernel may refuse what they ask for */
        return 0;
    const uint64_t all = ~0ull;
    uint64_t before = 0;
    const int saved = errno;
    pid_t pid = 0;
    const bool ends_at_once = says_nothing(&work);
    unsigned char *stack = ends_at_once ? NULL : take_stack();
    velo_sys4(SYS_rt_sigprocmask, SIG_BLOCK, velo_word(&all), velo_word(&before), sizeof all);
    if (ends_at_once) {
        pid = clone_to_end();
        work.done = pid > 0 && joins_group(&work, pid);
    } else if (stack != NULL) {
        pid = NEXT(clone)(child, stack + STACK_BYTES, CLONE_VM | CLONE_VFORK | SIGCHLD, &work);
    }
    velo_sys4(SYS_rt_sigprocmask, SIG_SETMASK, velo_word(&before), 0, sizeof before);
    if (stack != NULL)
        give_stack(stack);
    errno = saved;
    if (pid > 0 && !work.done)
        velo_sys4(SYS_wait4, pid, 0, 0, 0);
    return pid > 0 && work.done ? pid : 0;
}
