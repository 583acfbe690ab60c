/* stub.h - the child of a step that was answered. */
#ifndef VELO_PRELOAD_WRAP_STUB_H
#define VELO_PRELOAD_WRAP_STUB_H

#include <spawn.h>

#include "preload/replay/step.h"

/* Where the child's standard streams will lead, with these actions. False: it cannot be told. */
bool velo_stub_streams(const posix_spawn_file_actions_t *list, struct velo_step *step);

/* A child that performs the actions, says what the entry says, and ends with status 0. Its pid, or 0: none could be
 * made, or an action fails. */
pid_t velo_stub(const struct velo_begun *begun, const posix_spawnattr_t *attributes,
                const posix_spawn_file_actions_t *list);

#endif
