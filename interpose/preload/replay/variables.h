/* variables.h - names that a program of a unit asks its environment for.
 *
 * In    getenv(3), also of constructors that run before ours
 * Out   a record of each name in the unit's log
 * Never what `environ` is read for: programs.py knows which programs do that. */
#ifndef VELO_PRELOAD_REPLAY_VARIABLES_H
#define VELO_PRELOAD_REPLAY_VARIABLES_H

#include "unit.h"

extern bool velo_variables_are_early; /* whether there is a unit is not known yet */

void velo_saw_variable_now(const char *name);
static inline void velo_saw_variable(const char *name)
{
    if (__builtin_expect(velo_unit != NULL || velo_variables_are_early, 0))
        velo_saw_variable_now(name);
}

#endif
