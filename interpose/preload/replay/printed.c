/* printed.c - streams of libc's that lead to those of the unit. See printed.h.
 *
 * In    what goes in by the calls that we stand in front of (wrap/print.c)
 * Out   records of what comes out, or the sign that something came out that nobody knows
 *
 * Two things tell of what we did not see. A stream without a buffer shows by its flag that something was put since we
 * took the flag away. A buffer holds, when the stream is closed, as many bytes as went in by us: more were put past us
 * (macros do), fewer have come out already. */
#include "printed.h"

#include <pthread.h>
#include <stdatomic.h>

#include "member.h"
#include "said.h"

enum { UNBUFFERED = 0x0002, WRITTEN_TO = 0x0800 }; /* of glibc's _flags */

/* Of stdout and stderr: what went into the buffer. */
static struct {
    _Atomic size_t bytes;
    atomic_bool lost; /* something may have come out */
    size_t told;      /* what waited when that was written down */
} buffered[2];

static int which_of(const FILE *stream)
{
    return stream == stderr;
}

void velo_print_begins_now(FILE *stream, struct velo_print *print)
{
    print->stream = stream;
    print->at_once = (stream->_flags & UNBUFFERED) != 0;
    if (!print->at_once)
        return; /* it is counted afterwards: cc1 prints each instruction to its `-pipe` */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &print->cancellable);
    flockfile(stream);
    if ((stream->_flags & WRITTEN_TO) != 0)
        velo_unit_wrote(stream->_fileno); /* not by us */
    print->said = velo_unit_says(stream->_fileno);
}

void velo_print_ends_now(const struct velo_print *print, const void *text, ssize_t count)
{
    FILE *stream = print->stream;
    const int which = which_of(stream);
    if (!print->at_once) {
        if (count < 0)
            atomic_store_explicit(&buffered[which].lost, true, memory_order_relaxed);
        else
            atomic_fetch_add_explicit(&buffered[which].bytes, (size_t)count, memory_order_relaxed);
        if (buffered[which].told != 0)
            velo_unit_wrote(stream->_fileno); /* a thread goes on while its process ends */
        return;
    }
    if (text != NULL && count >= 0) {
        const struct iovec whole = {(void *)text, (size_t)count};
        velo_unit_said(print->said, &whole, count);
        /* It begins anew with the next byte, as it did with the first. */
        stream->_flags &= ~WRITTEN_TO;
    }
    funlockfile(stream);
    pthread_setcancelstate(print->cancellable, NULL);
}

/* All that it was ever given waits in there. */
static bool is_whole(const FILE *stream, size_t waiting)
{
    const int which = which_of(stream);
    return !buffered[which].lost && buffered[which].bytes == waiting &&
           stream->_mode <= 0; /* no wide characters, which wait elsewhere */
}

/* It comes out right afterwards. */
static void tell(const FILE *stream)
{
    const size_t waiting = (size_t)(stream->_IO_write_ptr - stream->_IO_write_base);
    if ((stream != stdout && stream != stderr) || (stream->_flags & WRITTEN_TO) == 0 ||
        (stream->_flags & UNBUFFERED) != 0 || waiting == 0 || !is_whole(stream, waiting))
        return;
    const struct iovec whole = {stream->_IO_write_base, waiting};
    velo_unit_said(velo_unit_says(stream->_fileno), &whole, (ssize_t)waiting);
    buffered[which_of(stream)].told = waiting;
}

static bool is_told(const FILE *stream)
{
    const size_t waiting = (size_t)(stream->_IO_write_ptr - stream->_IO_write_base);
    return (stream == stdout || stream == stderr) && waiting != 0 &&
           buffered[which_of(stream)].told == waiting;
}

/* The stream will be another one. */
static void forget(int which)
{
    atomic_store(&buffered[which].bytes, 0);
    atomic_store(&buffered[which].lost, false);
    buffered[which].told = 0;
}

/* Was anything ever written to the stream? */
static void ends(const FILE *stream)
{
    if (stream != NULL && (stream->_flags & WRITTEN_TO) != 0 && !is_told(stream))
        velo_unit_wrote(stream->_fileno);
}

void velo_unit_closes_now(const FILE *stream)
{
    tell(stream);
    ends(stream);
    if (stream == stdout || stream == stderr)
        forget(which_of(stream));
}

void velo_unit_vouch_now(int delta)
{
    if (velo_vfork_child)
        return; /* its parent's image goes on */
    if (delta > 0) {
        if (stdin != NULL && stdin->_IO_buf_base != NULL) /* it was asked for something */
            velo_unit_reads_now(stdin->_fileno);
        ends(stdout);
        ends(stderr);
    }
    atomic_fetch_add(&velo_unit->vouched, (uint32_t)delta);
}

__attribute__((destructor(102))) static void leave(void)
{
    if (velo_unit != NULL) {
        velo_member_objects(); /* what was loaded since */
        if (stdout != NULL)
            tell(stdout);
        if (stderr != NULL)
            tell(stderr);
    }
    velo_unit_vouch(1);
}
