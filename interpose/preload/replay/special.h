/* special.h - paths at which no file of the tree is: devices, /proc, /sys, the pipe of a job server.
 *
 * In    what a call asked of a path, after the call succeeded
 * Out   whether it is such a path, and the reason why that concerns the unit's result, if it does */
#ifndef VELO_PRELOAD_REPLAY_SPECIAL_H
#define VELO_PRELOAD_REPLAY_SPECIAL_H

#include <sys/stat.h>

#include "log.h"

/* Once, with the environment that the program was given. */
void velo_special_begin(void);
/* By its text, does the path lead to this directory, or below it? */
bool velo_leads_below(const char *path, const char *directory);
bool velo_is_special(const char *text);
/* How wide the terminal is that `fd` leads to; 0: it is none, or does not say. */
uint16_t velo_columns_of(int fd);
/* Of a descriptor: is it /dev/null? */
bool velo_is_null(const struct stat *stat);
/* Is it one of those that MAKEFLAGS names? */
bool velo_is_jobserver(int fd);
/* Does a shell look here whether it has a terminal, as each does once? It makes no difference for what it does. */
bool velo_is_start_of_bash(const char *path, int flags);
/* `*reason` stays as it is when what is there is the same each time. */
bool velo_is_no_file(enum velo_record_kind kind, unsigned flags, const char *text,
                     enum velo_taint *reason);

#endif
