/* credits.h - the table of descriptors that may grow a hosted file (credits.c). */
#ifndef VELO_PRELOAD_WRITE_CREDITS_H
#define VELO_PRELOAD_WRITE_CREDITS_H

#include "preload/base/preload.h"

#define VELO_WRITE_CREDITS_MAX 4096u /* descriptors above have no credit */

/* 0: not hosted; else bytes that may still be written without a charge, plus one. */
extern _Atomic uint32_t velo_write_credits[VELO_WRITE_CREDITS_MAX];
extern _Atomic int velo_write_credits_top; /* no descriptor from here on has a credit */

static inline void velo_write_credit_set(int fd, uint32_t credit)
{
    if ((unsigned)fd >= VELO_WRITE_CREDITS_MAX || velo_vfork_child) /* the table is the parent's */
        return;
    atomic_store_explicit(&velo_write_credits[fd], credit, memory_order_relaxed);
    int top = atomic_load_explicit(&velo_write_credits_top, memory_order_relaxed);
    while (credit != 0 && fd >= top &&
           !atomic_compare_exchange_weak(&velo_write_credits_top, &top, fd + 1)) {
    }
}

static inline uint32_t velo_write_credit(int fd)
{
    return (unsigned)fd < VELO_WRITE_CREDITS_MAX
               ? atomic_load_explicit(&velo_write_credits[fd], memory_order_relaxed)
               : 0;
}

#endif
