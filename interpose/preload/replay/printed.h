/* printed.h - what a program of a unit prints by libc's streams.
 *
 * libc hands the text to the kernel itself, so it is written down where it goes in: at once where the stream has no
 * buffer (stderr) or gives each line away (a terminal's, bash's). Where all of it waits in the buffer, it is written
 * down when the stream is flushed or closed. Text that went another way is not known, only that it did. */
#ifndef VELO_PRELOAD_REPLAY_PRINTED_H
#define VELO_PRELOAD_REPLAY_PRINTED_H

#include <stdio.h>

#include "unit.h"

/* The two that write to what the program was given, whatever it makes of `stdout` and `stderr`. */
extern FILE _IO_2_1_stdout_, _IO_2_1_stderr_;
#define VELO_OUTPUT (&_IO_2_1_stdout_)
#define VELO_ERRORS (&_IO_2_1_stderr_)

/* One call that prints. */
struct velo_print {
    FILE *stream; /* NULL: no stream of a unit */
    size_t waited; /* in its buffer, before the call */
    unsigned said; /* which of the unit's streams it leads to; 0: none */
    bool heard; /* what comes out of the stream does so within such calls */
    bool ends_line; /* the last of the bytes is a newline that is not in the text */
    int cancellable;
};

/* Before; takes the lock of a stream that is heard. */
void velo_print_begins_now(FILE *stream, struct velo_print *print);
static inline void velo_print_begins(FILE *stream, struct velo_print *print)
{
    print->stream = NULL;
    if (__builtin_expect(velo_unit != NULL, 0) && (stream == VELO_OUTPUT || stream == VELO_ERRORS))
        velo_print_begins_now(stream, print);
}
/* After, if print->stream is not NULL: `count` bytes of `text` (NULL: unknown bytes) went in. Negative: it failed. */
void velo_print_ends_now(const struct velo_print *print, const void *text, ssize_t count);
/* Before that: did some of them come out where they count? */
bool velo_print_needs_text(const struct velo_print *print, ssize_t count);

/* The stream is about to be closed, or to be another file's. */
void velo_unit_closes_now(const FILE *stream);
static inline void velo_unit_closes(const FILE *stream)
{
    if (__builtin_expect(velo_unit != NULL && stream != NULL, 0))
        velo_unit_closes_now(stream);
}

/* The bytes that wait in the stream's buffer (NULL: in those of all streams) are about to come out. */
void velo_unit_flushes_now(FILE *stream);
static inline void velo_unit_flushes(FILE *stream)
{
    if (__builtin_expect(velo_unit != NULL, 0))
        velo_unit_flushes_now(stream);
}
/* They came out, if `rc` is 0. */
void velo_unit_flushed_now(FILE *stream, int rc);
static inline void velo_unit_flushed(FILE *stream, int rc)
{
    if (__builtin_expect(velo_unit != NULL, 0))
        velo_unit_flushed_now(stream, rc);
}

/* The descriptor is about to be closed, or to lead elsewhere. */
void velo_unit_moves_now(int fd);
static inline void velo_unit_moves(int fd)
{
    if (__builtin_expect(velo_unit != NULL, 0))
        velo_unit_moves_now(fd);
}
/* `fd` leads elsewhere: perhaps to the unit's streams, and then velo does not see what the program prints by it. */
void velo_unit_moved_now(int fd);
static inline void velo_unit_moved(int fd)
{
    if (__builtin_expect(velo_unit != NULL, 0))
        velo_unit_moved_now(fd);
}

/* This image ends here: exit, _exit, exec. What it left in its streams comes out. */
void velo_unit_vouch_now(int delta);
static inline void velo_unit_vouch(int delta)
{
    if (__builtin_expect(velo_unit != NULL, 0))
        velo_unit_vouch_now(delta);
}

#endif
