/* lock.c - the namespace lock, the flush lock, the undo log and its undoing.  See lock.h. */
#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "kernel/os.h"
#include "trace.h"
#include "kernel/sys.h"
#include "kernel/text.h"

#define LOCK_SPINS 100
#define STRANGER_WAITS 64u /* of VELO_LOCK_PATIENCE_NS: is the owner one of us? */
#define WAIT_WORTH_TELLING_NS 1000000u

#ifdef VELO_KILL_POINTS /* tests/core: die at the k-th point, before a store or a step on disk */
long velo_kill_countdown;
void velo_kill_point(void)
{
    if (velo_kill_countdown > 0 && --velo_kill_countdown == 0)
        velo_sys2(SYS_kill, velo_sys0(SYS_getpid), SIGKILL);
}
#endif

static uint32_t own_thread(void)
{
    return (uint32_t)velo_sys0(SYS_gettid);
}

static void wait_on(struct velo_lock *lock, uint32_t seen)
{
    const struct timespec patience = {0, VELO_LOCK_PATIENCE_NS};
    velo_sys6(SYS_futex, (long)&lock->word, FUTEX_WAIT, (long)seen, (long)&patience, 0, 0);
}

/* A wild store can name any thread as the owner; but a process that has not mapped the arena is none. Where we cannot be
 * seen to have it ourselves (file systems whose device /proc calls by another number), nothing is known. */
static int is_stranger(const struct velo_region *region, uint32_t owner, uint32_t self)
{
    char path[sizeof region->directory + 8];
    struct stat meta;
    strcpy(stpcpy(path, region->directory), "/meta");
    return velo_os_lstat(path, &meta) == 0 && !velo_thread_maps(owner, meta.st_dev, meta.st_ino) &&
           velo_thread_maps(self, meta.st_dev, meta.st_ino);
}

/* One try to take `lock` for `tid` after waiting a while, as so many times before. 1 when taken. */
static int take_slowly(const struct velo_region *region, struct velo_lock *lock, uint32_t tid,
                       uint32_t waits)
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
    const uint32_t owner = seen & ~VELO_LOCK_WAITERS;
    if (!velo_thread_dead(owner, since) &&
        (waits % STRANGER_WAITS != STRANGER_WAITS - 1 || !is_stranger(region, owner, tid)))
        return 0;
    return atomic_compare_exchange_strong(&lock->word, &seen, tid | VELO_LOCK_WAITERS);
}

static void take(const struct velo_region *region, struct velo_lock *lock)
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
    for (uint32_t waits = 0; !take_slowly(region, lock, tid, waits); waits++) {
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
    const uint32_t count = atomic_load_explicit(&header->undo_count, memory_order_relaxed);
    if (count == 0)
        velo_readers_wait(region);
    assert(count < VELO_UNDO_MAX);
    if (count < VELO_UNDO_MAX) {
        header->undo_log[count].offset =
            (uint64_t)((unsigned char *)field - region->base) | (narrow ? 1u : 0u);
        header->undo_log[count].old = old;
        /* release: the note is whole before it counts, and counts before the field changes */
        atomic_store_explicit(&header->undo_count, count + 1, memory_order_release);
    }
    atomic_thread_fence(memory_order_seq_cst);
    velo_kill_point();
}

void velo_undo_locked(struct velo_region *region)
{
    struct velo_header *header = region->header;
    uint32_t left = atomic_load(&header->undo_count);
    for (left = left < VELO_UNDO_MAX ? left : VELO_UNDO_MAX; left > 0; left--) {
        const struct velo_undo undo = header->undo_log[left - 1];
        void *field = region->base + (undo.offset & ~1ull);
        if (undo.offset > region->size_bytes - sizeof undo.old || undo.offset % 4 > 1)
            continue; /* a wild store's: it would lead outside */
        if ((undo.offset & 1) != 0)
            __atomic_store_n((uint32_t *)field, (uint32_t)undo.old, __ATOMIC_RELAXED);
        else
            __atomic_store_n((uint64_t *)field, undo.old, __ATOMIC_RELAXED);
        velo_kill_point();
        atomic_store_explicit(&header->undo_count, left - 1, memory_order_release);
    }
}

void velo_readers_go_on(struct velo_header *header)
{
    atomic_store_explicit(&header->undo_count, 0, memory_order_release);
    velo_kill_point();
    if ((atomic_load_explicit(&header->sequence, memory_order_relaxed) & 1) != 0)
        atomic_fetch_add_explicit(&header->sequence, 1, memory_order_release);
}

void velo_disk_step_over(struct velo_header *header)
{
    atomic_store_explicit(&header->intent.from_name, VELO_NO_NAME, memory_order_relaxed);
    atomic_store_explicit(&header->disk_step_other, VELO_NO_NODE, memory_order_relaxed);
    atomic_store_explicit(&header->disk_step, VELO_NO_NODE, memory_order_release);
}

void velo_begin(struct velo_region *region, struct velo_hold *hold)
{
    const uint64_t all = ~0ull;
    velo_sys4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)&hold->signals, 8);
    struct velo_header *header = region->header;
    const uint64_t before =
        atomic_load_explicit(&header->traced, memory_order_relaxed) == 0 ? 0 : velo_boottime_ns();
    const uint32_t owner = atomic_load_explicit(&header->lock.word, memory_order_relaxed);
    take(region, &header->lock);
    if (before != 0 && velo_boottime_ns() - before > WAIT_WORTH_TELLING_NS)
        VELO_TRACE(region, LOCK_WAITED, velo_boottime_ns() - before, owner & ~VELO_LOCK_WAITERS);
    if (atomic_load_explicit(&header->undo_count, memory_order_relaxed) != 0 ||
        (atomic_load_explicit(&header->sequence, memory_order_relaxed) & 1) != 0 ||
        velo_is_node(atomic_load_explicit(&header->disk_step, memory_order_relaxed)) ||
        velo_is_node(atomic_load_explicit(&header->with_rights, memory_order_relaxed)) ||
        atomic_load_explicit(&header->opened, memory_order_relaxed) != 0)
        region->recover(region);
}

static void end(struct velo_region *region, struct velo_hold *hold)
{
    velo_readers_go_on(region->header);
    if (velo_is_node(atomic_load_explicit(&region->header->disk_step, memory_order_relaxed)))
        velo_disk_step_over(region->header);
    leave(&region->header->lock);
    velo_sys4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&hold->signals, 0, 8);
}

void velo_commit(struct velo_region *region, struct velo_hold *hold)
{
    if (atomic_load_explicit(&region->header->undo_count, memory_order_relaxed) != 0)
        atomic_fetch_add_explicit(&region->header->activity, 1, memory_order_relaxed);
    end(region, hold);
}

void velo_abort(struct velo_region *region, struct velo_hold *hold)
{
    velo_undo_locked(region);
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

int velo_flush_lock_take(struct velo_region *region, uint32_t timeout_ms)
{
    struct velo_lock *flush_lock = &region->header->flush_lock;
    const uint32_t tid = own_thread();
    const uint64_t deadline = velo_boottime_ns() + (uint64_t)timeout_ms * 1000000u;
    for (uint32_t waits = 0;; waits++) {
        uint32_t free = 0;
        if (atomic_compare_exchange_strong(&flush_lock->word, &free, tid))
            break;
        if ((free & ~VELO_LOCK_WAITERS) == tid)
            return -EDEADLK;
        if (timeout_ms == 0 &&
            !velo_thread_dead(free & ~VELO_LOCK_WAITERS, atomic_load(&flush_lock->since_ns)))
            return -EAGAIN;
        if (take_slowly(region, flush_lock, tid, waits))
            break;
        if (velo_boottime_ns() >= deadline)
            return -EAGAIN;
    }
    atomic_store(&flush_lock->since_ns, velo_boottime_ns());
    return 0;
}

void velo_flush_lock_leave(struct velo_region *region)
{
    leave(&region->header->flush_lock);
}
