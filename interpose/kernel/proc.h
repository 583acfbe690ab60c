/* proc.h - what the kernel says of other threads, and what time it is: system calls, text of /proc. */
#ifndef VELO_CORE_PROC_H
#define VELO_CORE_PROC_H

#include <stdint.h>

uint64_t velo_boottime_ns(void);
/* What /proc says of a thread. 0, or -errno. */
struct velo_thread {
    char state;
    uint32_t parent; /* process */
    uint64_t start_ns; /* boot time, rounded down to a tick */
};
#define VELO_NS_PER_TICK 10000000ull /* USER_HZ is 100 on every Linux ABI we run on */
int velo_thread_probe(uint32_t tid, struct velo_thread *out);
/* Whether the thread that called itself `tid` at boot time `since_ns` (0: unknown) is gone. */
int velo_thread_dead(uint32_t tid, uint64_t since_ns);
/* Whether the calling process has one thread. 0: it has more, or /proc does not say. */
int velo_is_alone(void);
/* 0: the thread's process has the file with this identity mapped nowhere. 1: it has, or cannot be asked. */
int velo_thread_maps(uint32_t tid, uint64_t device, uint64_t inode);

#endif
