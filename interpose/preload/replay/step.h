/* step.h - a step from its beginning to its end, in the process that starts it. */
#ifndef VELO_PRELOAD_REPLAY_STEP_H
#define VELO_PRELOAD_REPLAY_STEP_H

#include "index.h"
#include "key.h"
#include "restore.h"
#include "unit.h"

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
    const struct velo_fact *why; /* the first that did not hold, where no entry answers */
    int place; /* of a recorded step: running.h */
    int64_t stamp; /* of what is restored */
    struct velo_restored restored;
    int64_t began_at_ns; /* CLOCK_MONOTONIC */
    char assignment[VELO_UNIT_MAX];
};
/* Finds the entry that would answer. False: it is no step. Nothing is changed yet. */
bool velo_step_find(struct velo_step *step, struct velo_begun *begun);
/* Answers, if the entry's text `can_say` be said at once; else the step is recorded. */
void velo_step_decide(struct velo_step *step, struct velo_begun *begun, bool can_say);
/* No child could be made for an answered step: it is to run, and finds nothing of its answer. */
void velo_step_runs(struct velo_begun *begun);
/* The child `pid` runs it; 0: none was started. */
void velo_step_started(const struct velo_begun *begun, pid_t pid);
/* An answered step has its child: it counts as replayed. */
void velo_step_answered(const struct velo_begun *begun);

#endif
