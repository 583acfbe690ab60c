/* tools.h - build tools, the programs whose children are steps. */
#ifndef VELO_PRELOAD_REPLAY_TOOLS_H
#define VELO_PRELOAD_REPLAY_TOOLS_H

#include <stdbool.h>

/* Does this process start units? Build tools do, when replay is on. */
bool velo_starts_units(void);
/* Is it a child that such a process forked, and that has not run a program since? */
bool velo_is_child_of_starter(void);
/* A build tool, by the name of its program: its own steps are the units. `argv` may be NULL. */
bool velo_is_orchestrator(const char *program, char *const argv[]);

/* Does cargo run this as something that it built, a test? Its purpose is to run then: it is no step. */
bool velo_is_product(const char *program, char *const argv[]);

#endif
