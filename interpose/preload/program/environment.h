/* environment.h - the variables that a child must find in its environment to be entered, too, and that an
 * opaque child must not find. No allocation: the caller gives the memory, which may be a vfork child's stack. */
#ifndef VELO_PRELOAD_ENVIRONMENT_H
#define VELO_PRELOAD_ENVIRONMENT_H

#include "preload/base/preload.h"

/* The value of `name` in `environment`, or NULL. */
const char *velo_environment_get(char *const environment[], const char *name);

/* LD_PRELOAD names something beside us. */
bool velo_environment_preloads(char *const environment[]);

/* The program is to see the disk (VELO_DISABLE), and is not velo itself at work for this arena (router/reexec.py). */
bool velo_environment_is_outside(char *const environment[]);

/* Bytes that velo_environment_make needs; 0 when the environment is right as it is.
 * enter  the child is to be entered: LD_PRELOAD names us, VELO_ARENA is there;
 *        else LD_PRELOAD does not name us
 * first  a library that insists on being the first (sanitizer.h), or "" */
size_t velo_environment_bytes(char *const environment[], bool enter, const char *first);

/* The environment to give, in `scratch`; it borrows the strings of the old one. */
char *const *velo_environment_make(char *const environment[], bool enter, const char *first,
                                   void *scratch);

/* Takes us out of this process's own environment, and of all that it gives, so that its children are
 * not entered: where they are, neither we nor the arena may be. */
void velo_environment_leave(void);

/* Declares `there`, a pointer that lives until the function returns. */
#define VELO_ENVIRONMENT(there, environment, enter, first)                                         \
    const size_t there##_bytes = velo_environment_bytes(environment, enter, first);                \
    char *const *there =                                                                           \
        there##_bytes == 0                                                                         \
            ? (environment)                                                                        \
            : velo_environment_make(environment, enter, first, __builtin_alloca(there##_bytes))
/* This process, or vfork child, is where paths are not the arena's, and what it starts is not entered. */
bool velo_has_left(void);

#endif
