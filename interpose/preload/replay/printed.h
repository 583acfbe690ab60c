/* printed.h - what a program of a unit prints by libc's streams.
 *
 * libc hands it to the kernel itself, so it is written down where it goes in: at once where the stream has no buffer
 * (stderr), and at the end where all of it waits in the buffer. What went any other way is not known; that it did, is. */
#ifndef VELO_PRELOAD_REPLAY_PRINTED_H
#define VELO_PRELOAD_REPLAY_PRINTED_H

#include <stdio.h>

#include "unit.h"

/* One call that prints. */
struct velo_print {
    FILE *stream; /* NULL: no stream of a unit */
    unsigned said; /* which of the unit's streams it goes to at once; 0: none */
    bool at_once;
    int cancellable;
};

/* Before; takes the lock of a stream without a buffer. */
void velo_print_begins_now(FILE *stream, struct velo_print *print);
static inline void velo_print_begins(FILE *stream, struct velo_print *print)
{
    print->stream = NULL;
    if (__builtin_expect(velo_unit != NULL, 0) && (stream == stdout || stream == stderr))
        velo_print_begins_now(stream, print);
}
/* After, if print->stream is not NULL: `count` bytes of `text` (NULL: nobody knows which) went in. Negative: it failed. */
void velo_print_ends_now(const struct velo_print *print, const void *text, ssize_t count);

/* The stream is about to be closed, or to be another file's. */
void velo_unit_closes_now(const FILE *stream);
static inline void velo_unit_closes(const FILE *stream)
{
    if (__builtin_expect(velo_unit != NULL && stream != NULL, 0))
        velo_unit_closes_now(stream);
}

/* What waits in the stream's buffer (NULL: in those of all) is about to come out. */
void velo_unit_flushes_now(FILE *stream);
static inline void velo_unit_flushes(FILE *stream)
{
    if (__builtin_expect(velo_unit != NULL, 0))
        velo_unit_flushes_now(stream);
}

/* This image ends here: exit, _exit, exec. What it left in its streams comes out. */
void velo_unit_vouch_now(int delta);
static inline void velo_unit_vouch(int delta)
{
    if (__builtin_expect(velo_unit != NULL, 0))
        velo_unit_vouch_now(delta);
}

#endif
