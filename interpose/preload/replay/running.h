/* running.h - the steps of this build tool that are recorded while they run: their logs, pids and pipes.
 *
 * The table is shared with the children that a build tool forks: such a child decides of its step itself, right before
 * it execs, and the tool hears of its end. */
#ifndef VELO_PRELOAD_REPLAY_RUNNING_H
#define VELO_PRELOAD_REPLAY_RUNNING_H

#include "unit.h"

/* Makes the table, before the first child. False: there is no memory, so nothing is recorded. */
bool velo_running_begin(void);

/* A new log in a free place, or -1. */
int velo_running_take(const uint64_t pipes[2]);
struct velo_log *velo_running_log(int place); /* NULL: it cannot be mapped */
const char *velo_running_path(int place);
/* The process `pid` runs the step. */
void velo_running_started(int place, pid_t pid);
/* None runs it after all: the log is removed. */
void velo_running_failed(int place);
/* Something was started of whose end we do not hear. */
void velo_running_unseen(void);
/* Does nothing run that this build tool started? */
bool velo_running_none(void);

extern _Atomic uint32_t *velo_running_count; /* recorded ones; never NULL */
static inline bool velo_is_recording(void)
{
    return __builtin_expect(atomic_load_explicit(velo_running_count, memory_order_relaxed) != 0, 0);
}

/* After wait told that `pid` ended as `status` says: its log is complete. */
void velo_step_ended_now(pid_t pid, int status);
static inline void velo_step_ended(pid_t pid, int status)
{
    if (velo_is_recording() && pid > 0)
        velo_step_ended_now(pid, status);
}
/* `count` bytes were read from `fd`; 0: all. */
void velo_step_said_now(int fd, const void *bytes, ssize_t count);
static inline void velo_step_said(int fd, const void *bytes, ssize_t count)
{
    if (velo_is_recording() && count >= 0)
        velo_step_said_now(fd, bytes, count);
}

#endif
