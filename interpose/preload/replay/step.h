/* step.h - a step from its beginning to its end, in the process that starts it. */
#ifndef VELO_PRELOAD_REPLAY_STEP_H
#define VELO_PRELOAD_REPLAY_STEP_H

#include "index.h"
#include "key.h"
#include "unit.h"

/* Does this process start units? Build tools do, when replay is on. */
bool velo_starts_units(void);
/* A build tool, by the name of its program: its own steps are the units. `argv` may be NULL. */
bool velo_is_orchestrator(const char *program, char *const argv[]);

/* What is to be done with a step that is about to run. */
enum velo_decision {
    VELO_STEP_PLAIN,    /* run it: it is no unit */
    VELO_STEP_RECORDED, /* run it with `assignment` in its environment, then say velo_step_started */
    VELO_STEP_ANSWERED, /* its outputs are there: a child that says `entry`'s text and ends is all that is left */
};
struct velo_begun {
    enum velo_decision decision;
    const struct velo_index *index;
    const struct velo_entry *entry; /* that answers */
    int slot; /* of a recorded step */
    char assignment[VELO_UNIT_MAX];
};
void velo_step_decide(struct velo_step *step, struct velo_begun *begun);
/* The child `pid` runs it; 0: none was started. */
void velo_step_started(const struct velo_begun *begun, pid_t pid);
/* An answered step's child could not be made: it is recorded as if there had been no entry. */
void velo_step_counts(const struct velo_begun *begun, const struct velo_step *step,
                      int64_t began_ns);

/* After wait told that `pid` ended as `status` says: its log is complete. */
void velo_step_ended_now(pid_t pid, int status);
extern _Atomic uint32_t velo_steps_running; /* recorded ones of this process */
static inline void velo_step_ended(pid_t pid, int status)
{
    if (__builtin_expect(atomic_load_explicit(&velo_steps_running, memory_order_relaxed) != 0, 0) &&
        pid > 0)
        velo_step_ended_now(pid, status);
}
/* `count` bytes were read from `fd`; 0: all. */
void velo_step_said_now(int fd, const void *bytes, ssize_t count);
static inline void velo_step_said(int fd, const void *bytes, ssize_t count)
{
    if (__builtin_expect(atomic_load_explicit(&velo_steps_running, memory_order_relaxed) != 0, 0) &&
        count >= 0)
        velo_step_said_now(fd, bytes, count);
}

#endif
