/* recent.h - what was found out of addresses and processes a moment ago, by this process.
 *
 * To ask the kernel which process waits at a port takes 20 us, and a program may send thousands of messages
 * there. So an answer is believed for up to 134 ms: in that time no process ends and another starts in its
 * place, unseen and to any effect. A peer that is exempt stays so. */
#ifndef VELO_PRELOAD_RECENT_H
#define VELO_PRELOAD_RECENT_H

#include <time.h>

#include "preload/base/preload.h"

#define VELO_RECENT_MAX 64u
#define VELO_FOR_EVER 0xffffu

/* Key and moment in one word, so that no reader sees half of it; another key may take its place. */
extern _Atomic uint64_t velo_recent[VELO_RECENT_MAX];

/* Of about an eighth of a second. */
static inline uint64_t velo_moment(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return ((uint64_t)now.tv_sec << 3 | (uint64_t)now.tv_nsec >> 27) & 0x7fff;
}

static inline _Atomic uint64_t *velo_recent_slot(uint64_t key)
{
    return &velo_recent[key >> 32 & (VELO_RECENT_MAX - 1)];
}

static inline bool velo_is_recent(uint64_t key)
{
    const uint64_t word = atomic_load_explicit(velo_recent_slot(key), memory_order_relaxed);
    if (key == 0 || (word ^ key) >> 16 != 0)
        return false;
    return (word & 0xffff) == VELO_FOR_EVER || (word & 0xffff) == velo_moment();
}

static inline void velo_recent_note(uint64_t key, bool for_ever)
{
    if (key != 0 && !velo_vfork_child)
        atomic_store_explicit(velo_recent_slot(key),
                              (key & ~0xffffull) | (for_ever ? VELO_FOR_EVER : velo_moment()),
                              memory_order_relaxed);
}

#endif
