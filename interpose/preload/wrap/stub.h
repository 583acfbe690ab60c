/* stub.h - the child of a step that was answered. */
#ifndef VELO_PRELOAD_WRAP_STUB_H
#define VELO_PRELOAD_WRAP_STUB_H

#include <spawn.h>

#include "preload/replay/step.h"

/* Is the step that is to be started with these actions answered, or recorded? Where its streams lead is part of it.
 * `begun` is zero before: VELO_STEP_PLAIN. */
void velo_stub_decide(const posix_spawn_file_actions_t *list, struct velo_step *step,
                      struct velo_begun *begun);

/* A child that performs the actions, says what the entry says, and ends with status 0. Its pid, or 0: none could be
 * made, or an action fails. */
pid_t velo_stub(const struct velo_begun *begun, const posix_spawnattr_t *attributes,
                const posix_spawn_file_actions_t *list);

/* In a child that a build tool forked, right before it execs `path`: prints what the entry says and ends with status
 * 0; or returns with what is to be done instead. */
void velo_stub_here(const char *path, char *const argv[], char *const envp[],
                    struct velo_begun *begun);

#endif
