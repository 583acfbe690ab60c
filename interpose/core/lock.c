/* lock.c - the namespace lock, the baton, the intent log and its undoing.  See lock.h. */
#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>

#include "loosen.h"
#include "os.h"
#include "sys.h"
#include "tree.h"

#define LOCK_SPINS 100

#ifdef VELO_KILL_POINTS /* tests/core: die at the k-th point, before a store or a step on disk */
long velo_kill_countdown;
void velo_kill_point(void)
{
    if (velo_kill_countdown > 0 && --velo_kill_countdown == 0)
        velo_sys2(SYS_kill, velo_sys0(SYS_getpid), SIGKILL);
}
#endif

uint64_t velo_boottime_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint32_t own_thread(void)
{
    return (uint32_t)velo_sys0(SYS_gettid);
}

static size_t put_decimal(char *out, uint32_t value)
{
    char digits[10];
    size_t count = 0;
    do
        digits[count++] = (char)('0' + value % 10);
    while ((value /= 10) != 0);
    for (size_t i = 0; i < count; i++)
        out[i] = digits[count - 1 - i];
    return count;
}

/* The text of /proc/<tid>/stat; its length, or -errno. */
static long stat_text(uint32_t tid, char *text, size_t size)
{
    char path[32] = "/proc/";
    size_t length = 6 + put_decimal(path + 6, tid);
    for (const char *tail = "/stat"; *tail != 0; tail++)
        path[length++] = *tail;
    path[length] = 0;
    const long fd = velo_sys4(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return fd;
    const long got = velo_sys3(SYS_read, fd, (long)text, (long)size);
    velo_sys1(SYS_close, fd);
    return got <= 0 ? -ESRCH : got;
}

/* The number in `field` of such a text, counted from 1 as in proc(5); `at` is where the name ends. */
static uint64_t field_of(const char *text, long at, long end, unsigned field)
{
    uint64_t value = 0;
    for (unsigned seen = 2; at < end && seen < field; at++)
        seen += text[at] == ' ';
    for (; at < end && text[at] >= '0' && text[at] <= '9'; at++)
        value = value * 10 + (uint64_t)(text[at] - '0');
    return value;
}

int velo_thread_look(uint32_t tid, struct velo_thread *out)
{
    char text[512];
    const long got = stat_text(tid, text, sizeof text);
    if (got < 0)
        return (int)got;
    long at = got;
    while (at > 0 && text[at - 1] != ')') /* the name may hold anything; the last ')' ends it */
        at--;
    if (at == 0 || at + 1 >= got)
        return -EIO;
    out->state = text[at + 1];
    out->parent = (uint32_t)field_of(text, at, got, 4);
    out->start_ns = field_of(text, at, got, 22) * VELO_NS_PER_TICK;
    return 0;
}

int velo_thread_dead(uint32_t tid, uint64_t since_ns)
{
    if (velo_sys2(SYS_kill, (long)tid, 0) == -ESRCH)
        return 1;
    struct velo_thread thread;
    const int rc = velo_thread_look(tid, &thread);
    if (rc == -ESRCH || rc == -ENOENT)
        return velo_sys2(SYS_kill, (long)tid, 0) == -ESRCH;
    if (rc < 0)
        return 0;
    if (thread.state == 'Z' || thread.state == 'X')
        return 1;
    return since_ns != 0 && thread.start_ns > since_ns + VELO_NS_PER_TICK;
}

static void wait_on(struct velo_lock *lock, uint32_t seen)
{
    const struct timespec patience = {0, VELO_LOCK_PATIENCE_NS};
    velo_sys6(SYS_futex, (long)&lock->word, FUTEX_WAIT, (long)seen, (long)&patience, 0, 0);
}

/* One try to take `lock` for `tid` after waiting a while. 1 when taken. */
static int take_slowly(struct velo_lock *lock, uint32_t tid)
{
    uint32_t seen = atomic_load_explicit(&lock->word, memory_order_relaxed);
    if (seen == 0)
        return atomic_compare_exchange_strong(&lock->word, &seen, tid | VELO_LOCK_WAITERS);
    if ((seen & VELO_LOCK_WAITERS) == 0) {
        if (!atomic_compare_exchange_strong(&lock->word, &seen, seen | VELO_LOCK_WAITERS))
            return 0;
        seen |= VELO_LOCK_WAITERS;
    }
    const uint64_t since = atomic_load(&lock->since_ns);
    wait_on(lock, seen);
    if (atomic_load(&lock->word) != seen || atomic_load(&lock->since_ns) != since)
        return 0;
    if (!velo_thread_dead(seen & ~VELO_LOCK_WAITERS, since))
        return 0;
    return atomic_compare_exchange_strong(&lock->word, &seen, tid | VELO_LOCK_WAITERS);
}

static void take(struct velo_lock *lock)
{
    const uint32_t tid = own_thread();
    for (int spin = 0; spin < LOCK_SPINS; spin++) {
        uint32_t free = 0;
        if (atomic_load_explicit(&lock->word, memory_order_relaxed) == 0 &&
            atomic_compare_exchange_strong_explicit(&lock->word, &free, tid, memory_order_acquire,
                                                    memory_order_relaxed))
            goto taken;
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    }
    while (!take_slowly(lock, tid)) {
    }
taken:
    atomic_store_explicit(&lock->since_ns, velo_boottime_ns(), memory_order_relaxed);
}

static void leave(struct velo_lock *lock)
{
    /* Before the word is free: a stamp of ours must never stand beside the next owner's id. */
    atomic_store(&lock->since_ns, 0);
    velo_kill_point();
    if ((atomic_exchange(&lock->word, 0) & VELO_LOCK_WAITERS) != 0)
        velo_sys6(SYS_futex, (long)&lock->word, FUTEX_WAKE, 1, 0, 0, 0);
}

void velo_readers_wait(struct velo_region *region)
{
    struct velo_header *header = region->header;
    if ((atomic_load_explicit(&header->sequence, memory_order_relaxed) & 1) != 0)
        return;
    atomic_fetch_add_explicit(&header->sequence, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
}

void velo_note(struct velo_region *region, void *field, uint64_t old, unsigned narrow)
{
    struct velo_header *header = region->header;
    velo_kill_point();
    const uint32_t count = atomic_load_explicit(&header->intent_count, memory_order_relaxed);
    if (count == 0)
        velo_readers_wait(region);
    assert(count < VELO_INTENTS_MAX);
    if (count < VELO_INTENTS_MAX) {
        header->intents[count].offset =
            (uint64_t)((unsigned char *)field - region->base) | (narrow ? 1u : 0u);
        header->intents[count].old = old;
        /* release: the note is whole before it counts, and counts before the field changes */
        atomic_store_explicit(&header->intent_count, count + 1, memory_order_release);
    }
    atomic_thread_fence(memory_order_seq_cst);
    velo_kill_point();
}

static void undo(struct velo_region *region)
{
    struct velo_header *header = region->header;
    for (uint32_t left = atomic_load(&header->intent_count); left > 0; left--) {
        const struct velo_intent intent = header->intents[left - 1];
        void *field = region->base + (intent.offset & ~1ull);
        if ((intent.offset & 1) != 0)
            __atomic_store_n((uint32_t *)field, (uint32_t)intent.old, __ATOMIC_RELAXED);
        else
            __atomic_store_n((uint64_t *)field, intent.old, __ATOMIC_RELAXED);
        velo_kill_point();
        atomic_store_explicit(&header->intent_count, left - 1, memory_order_release);
    }
}

static void settle_sequence(struct velo_header *header)
{
    atomic_store_explicit(&header->intent_count, 0, memory_order_release);
    velo_kill_point();
    if ((atomic_load_explicit(&header->sequence, memory_order_relaxed) & 1) != 0)
        atomic_fetch_add_explicit(&header->sequence, 1, memory_order_release);
}

static void mark_stale(struct velo_region *region, uint32_t directory)
{
    struct velo_node *node = velo_node_at(region, directory);
    if (directory != 0 && node->type == VELO_DIRECTORY)
        __atomic_store_n(&node->flags, node->flags | VELO_NODE_STALE, __ATOMIC_RELAXED);
}

static void forget_disk_step(struct velo_header *header)
{
    atomic_store_explicit(&header->moving.from_name, 0, memory_order_relaxed);
    atomic_store_explicit(&header->disk_step_other, 0, memory_order_relaxed);
    atomic_store_explicit(&header->disk_step, 0, memory_order_release);
}

/* May itself be cut short anywhere: each step is right when it is done again. */
static void recover(struct velo_region *region)
{
    struct velo_header *header = region->header;
    undo(region);
    settle_sequence(header);
    const uint32_t loosened = atomic_load(&header->loosened),
                   other = atomic_load(&header->loosened_other);
    if (velo_rename_recover(region) != 0)
        undo(region);
    settle_sequence(header);
    atomic_store(&header->loosened_other, other); /* the rename may have lent rights of its own */
    atomic_store(&header->loosened, loosened);
    velo_loosened_recover(region);
    mark_stale(region, atomic_load(&header->disk_step));
    mark_stale(region, atomic_load(&header->disk_step_other));
    forget_disk_step(header);
    atomic_fetch_add_explicit(&header->recoveries, 1, memory_order_relaxed);
}

void velo_begin(struct velo_region *region, struct velo_hold *hold)
{
    const uint64_t all = ~0ull;
    velo_sys4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)&hold->signals, 8);
    take(&region->header->lock);
    struct velo_header *header = region->header;
    if (atomic_load_explicit(&header->intent_count, memory_order_relaxed) != 0 ||
        (atomic_load_explicit(&header->sequence, memory_order_relaxed) & 1) != 0 ||
        atomic_load_explicit(&header->disk_step, memory_order_relaxed) != 0 ||
        atomic_load_explicit(&header->loosened, memory_order_relaxed) != 0 ||
        atomic_load_explicit(&header->opened, memory_order_relaxed) != 0)
        recover(region);
}

static void end(struct velo_region *region, struct velo_hold *hold)
{
    settle_sequence(region->header);
    if (atomic_load_explicit(&region->header->disk_step, memory_order_relaxed) != 0)
        forget_disk_step(region->header);
    leave(&region->header->lock);
    velo_sys4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&hold->signals, 0, 8);
}

void velo_commit(struct velo_region *region, struct velo_hold *hold)
{
    if (atomic_load_explicit(&region->header->intent_count, memory_order_relaxed) != 0)
        atomic_fetch_add_explicit(&region->header->activity, 1, memory_order_relaxed);
    end(region, hold);
}

void velo_abort(struct velo_region *region, struct velo_hold *hold)
{
    undo(region);
    end(region, hold);
}

uint64_t velo_read_begin(struct velo_region *region)
{
    uint64_t sequence = 0;
    for (int spin = 0; spin < LOCK_SPINS; spin++) {
        sequence = atomic_load_explicit(&region->header->sequence, memory_order_acquire);
        if ((sequence & 1) == 0)
            return sequence;
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    }
    return sequence;
}

int velo_baton_take(struct velo_region *region, uint32_t timeout_ms)
{
    struct velo_lock *baton = &region->header->baton;
    const uint32_t tid = own_thread();
    const uint64_t deadline = velo_boottime_ns() + (uint64_t)timeout_ms * 1000000u;
    for (;;) {
        uint32_t free = 0;
        if (atomic_compare_exchange_strong(&baton->word, &free, tid))
            break;
        if ((free & ~VELO_LOCK_WAITERS) == tid)
            return -EDEADLK;
        if (timeout_ms == 0 && !velo_thread_dead(free & ~VELO_LOCK_WAITERS,
                                                 atomic_load(&baton->since_ns)))
            return -EAGAIN;
        if (take_slowly(baton, tid))
            break;
        if (velo_boottime_ns() >= deadline)
            return -EAGAIN;
    }
    atomic_store(&baton->since_ns, velo_boottime_ns());
    return 0;
}

void velo_baton_leave(struct velo_region *region)
{
    leave(&region->header->baton);
}
