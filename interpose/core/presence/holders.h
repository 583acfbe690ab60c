/* holders.h - who has a file open (holders.c). */
#ifndef VELO_CORE_HOLDERS_H
#define VELO_CORE_HOLDERS_H

#include "core/velo.h"

/* Whoever has `file` open, as /proc spells it. `see` is told whether it is this process, and
 * the descriptor; what it returns ends the search when not 0, and is the result. -errno: a process
 * that may have it cannot be looked into. */
typedef int (*velo_holder)(void *context, int self, int fd);
int velo_holders(const struct velo_region *region, const char *file, velo_holder see,
                 void *context);
/* Whether the file is open by any other descriptor than `fd`, be it by O_PATH. */
int velo_somebody_has(const struct velo_region *region, int fd);
/* What /proc calls the file that this process has as `fd`. 0 or -errno. */
int velo_holders_name(int fd, char file[PATH_MAX]);
/* Some process that has the file (as links in /proc/PID/fd name it), or 0. */
uint32_t velo_holder_of(const struct velo_region *region, const char *file);
/* The same, of those for whom `is_wanted` says so. */
typedef int (*velo_stranger)(void *context, uint32_t pid, int fd);
uint32_t velo_holder_that(const struct velo_region *region, const char *file,
                          velo_stranger is_wanted, void *context);

#endif
