/* inherit.h - how a program that runs inside learns of the unit that it belongs to. */
#ifndef VELO_PRELOAD_REPLAY_INHERIT_H
#define VELO_PRELOAD_REPLAY_INHERIT_H

#include <stddef.h>

/* The environment to give to a program that runs inside: declares `there`, which lives until the function returns. */
size_t velo_unit_environment_bytes(char *const environment[], const char *assignment);
char *const *velo_unit_environment_make(char *const environment[], const char *assignment,
                                        void *scratch);
#define VELO_UNIT_ENVIRONMENT(there, environment, assignment)                                      \
    const size_t there##_bytes_ = velo_unit_environment_bytes(environment, assignment);            \
    char *const *there = there##_bytes_ == 0                                                       \
                             ? (environment)                                                       \
                             : velo_unit_environment_make(environment, assignment,                 \
                                                          __builtin_alloca(there##_bytes_))

#endif
