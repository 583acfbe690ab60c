/* credit.h - which descriptors may grow a hosted file, and by how much before the next charge.
 *
 * A credit is never needed for correctness: a missing one means that a shard learns of the growth
 * later, a stale one costs one fstat and is then gone. So descriptors may be closed, duplicated
 * and inherited behind our back. */
#ifndef VELO_PRELOAD_CREDIT_H
#define VELO_PRELOAD_CREDIT_H

#include "preload/base/preload.h"
#include "credits.h"
#include "gate.h"

/* 1: what is behind the descriptor needs nothing when it is locked (wrap/lock.c). Cleared when a number
 * comes to mean a hosted file, not when it is closed, which libc does unseen. A stale one costs a lock that
 * programs outside do not see. */
extern _Atomic uint8_t velo_plain_locks[VELO_WRITE_CREDITS_MAX];

static inline void velo_lock_set_plain(int fd, uint8_t credit)
{
    if ((unsigned)fd < VELO_WRITE_CREDITS_MAX && !velo_vfork_child)
        atomic_store_explicit(&velo_plain_locks[fd], credit, memory_order_relaxed);
}

static inline bool velo_lock_is_plain(int fd)
{
    return (unsigned)fd < VELO_WRITE_CREDITS_MAX &&
           atomic_load_explicit(&velo_plain_locks[fd], memory_order_relaxed) != 0;
}

/* A hosted file was opened with `flags`. */
static inline void velo_write_credit_open(int fd, int flags)
{
    velo_lock_set_plain(fd, 0);
    if (fd >= 0 && (flags & O_ACCMODE) != O_RDONLY)
        velo_write_credit_set(fd, 1);
}

/* `fd` has a credit: room before it writes `count` bytes at its end, or at `offset`; before it is
 * made `end` bytes long; before `length` bytes are allocated (credit.c). A stale credit is dropped.
 * */
#define VELO_AT_THE_END (-1)
void velo_write_credit_charge(int fd, size_t count);
void velo_write_credit_charge_at(int fd, size_t count, off_t offset);
void velo_write_credit_charge_to(int fd, uint64_t end);
void velo_write_credit_allocate(int fd, uint64_t offset, uint64_t length);
/* `fd` has a credit and its file is about to have `end` bytes, most of them a hole. */
void velo_write_credit_commit(int fd, uint64_t end);
void pthread_testcancel(void)
    __attribute__((weak)); /* an older libc has it where there are threads */
/* Not the newest version of it, which would keep us from programs with an older libc. */
#if defined(__x86_64__)
__asm__(".symver pthread_testcancel, pthread_testcancel@GLIBC_2.2.5");
#else
__asm__(".symver pthread_testcancel, pthread_testcancel@GLIBC_2.17");
#endif

static inline bool velo_gate_enter(int fd)
{
    if (velo_write_credit(fd) == 0 || velo_has_one_thread())
        return false;
    atomic_fetch_add(&velo_gate_inside, 1);
    if (__builtin_expect(atomic_load(&velo_gate_closed) != 0, 0))
        velo_gate_wait();
    return true;
}

/* Where a thread may be cancelled: rather now than in the middle. */
static inline void velo_point_of_cancellation(void)
{
    if (pthread_testcancel != NULL)
        pthread_testcancel();
}

static inline void velo_gate_leave(bool began)
{
    if (began)
        atomic_fetch_sub(&velo_gate_inside, 1);
}

/* Was an attempt to move the file away in vain, a moment ago? */
bool velo_is_stuck(velo_node_id node);
void velo_set_stuck(velo_node_id node);

/* The kernel said ENOSPC, which a hosted file's disk would not: others fill the arena's file system. True:
 * there is room for `count` bytes now, at the real path or because something left. */
bool velo_find_room(int fd, size_t count);
/* errno is ENOSPC, but the call may be made again. It is `saved` then. */
bool velo_write_again(int fd, size_t count, int saved);

/* The kernel's call; a thread that leads the file away waits for its end. -1 and errno on failure. The call is
 * made again when the kernel refused it for lack of space in memory, and space was found then: once or twice. */
#define WRITING_TRIES 3
#define WRITING(fd, count, call)                                                                   \
    ({                                                                                             \
        ssize_t done_;                                                                             \
        const int saved_ = errno;                                                                  \
        int tries_ = 0;                                                                            \
        do {                                                                                       \
            if (velo_write_credit(fd) != 0)                                                        \
                velo_point_of_cancellation();                                                      \
            const bool began_ = velo_gate_enter(fd);                                               \
            done_ = (ssize_t)(call);                                                               \
            velo_gate_leave(began_);                                                               \
        } while (__builtin_expect(done_ < 0, 0) && velo_write_credit(fd) != 0 &&                   \
                 ++tries_ < WRITING_TRIES && velo_write_again(fd, count, saved_));                 \
        done_;                                                                                     \
    })

#endif
