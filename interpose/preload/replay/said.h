/* said.h - what a unit says on the streams that it was given, and whether it uses what else it was given.
 *
 * The process that reads the other end of a pipe writes down what came (running.h). Where that process is not ours,
 * each process of the unit writes down what it hands to the kernel itself. Bytes that libc hands over for it cannot be
 * seen, only that libc does. */
#ifndef VELO_PRELOAD_REPLAY_SAID_H
#define VELO_PRELOAD_REPLAY_SAID_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/uio.h>

#include "unit.h"

/* Something is about to be written to `fd`: which stream of the unit that is, for velo_unit_said; 0: none. */
unsigned velo_unit_says_now(int fd);
static inline unsigned velo_unit_says(int fd)
{
    return __builtin_expect(velo_unit != NULL, 0) ? velo_unit_says_now(fd) : 0;
}
/* It was written: the first `done` bytes of `pieces`; none, if `done` is negative. */
void velo_unit_said_now(unsigned stream, const struct iovec *pieces, ssize_t done);
static inline void velo_unit_said(unsigned stream, const struct iovec *pieces, ssize_t done)
{
    if (__builtin_expect(stream != 0, 0))
        velo_unit_said_now(stream, pieces, done);
}

/* Unknown bytes are written to `fd`. */
static inline void velo_unit_wrote(int fd)
{
    (void)velo_unit_says(fd);
}

/* Does `fd` lead to one of the streams that the unit was given to write to? Only in a unit. */
bool velo_unit_is_outlet(int fd);

/* node opens a terminal that it was given again, with these flags, so that it alone does not wait there. What it says by
 * the new descriptor is heard, and what it reads counts. rustc measures how wide the terminal is, whatever its streams
 * lead to. */
bool velo_unit_opens_terminal_now(int fd, const char *path, int flags);
static inline bool velo_unit_opens_terminal(int fd, const char *path, int flags)
{
    return __builtin_expect(velo_unit != NULL && fd >= 0, 0) &&
           velo_unit_opens_terminal_now(fd, path, flags);
}
extern atomic_bool velo_unit_has_terminal;

/* Something is read from `fd`. */
void velo_unit_reads_now(int fd);
static inline void velo_unit_reads(int fd)
{
    if (__builtin_expect(velo_unit != NULL &&
                             (fd <= 2 || velo_unit->given_count != 0 || velo_unit_has_terminal),
                         0))
        velo_unit_reads_now(fd);
}

#endif
