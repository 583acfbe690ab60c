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

/* What went into a stream's buffer. */
struct buffer {
    _Atomic size_t bytes, told; /* told: what waited when that was written down */
    atomic_bool lost;           /* something may have come out */
    atomic_bool flushed;        /* all that came out until now is written down */
};
static struct buffer of_output, of_errors;

static struct buffer *buffer_of(const FILE *stream)
{
    return stream == stdout ? &of_output : stream == stderr ? &of_errors : NULL;
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

static void count_in(FILE *stream, ssize_t count)
{
    struct buffer *buffer = buffer_of(stream);
    if (buffer == NULL) { /* the program has another stdout by now */
        velo_unit_wrote(stream->_fileno);
        return;
    }
    if (count < 0)
        atomic_store_explicit(&buffer->lost, true, memory_order_relaxed);
    else
        atomic_fetch_add_explicit(&buffer->bytes, (size_t)count, memory_order_relaxed);
    if (atomic_load_explicit(&buffer->told, memory_order_relaxed) != 0)
        velo_unit_wrote(stream->_fileno); /* a thread goes on while its process ends */
}

void velo_print_ends_now(const struct velo_print *print, const void *text, ssize_t count)
{
    FILE *stream = print->stream;
    if (!print->at_once) {
        count_in(stream, count);
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

static size_t waiting_in(const FILE *stream)
{
    return (size_t)(stream->_IO_write_ptr - stream->_IO_write_base);
}

/* All that it was ever given waits in its buffer, and comes out right afterwards. */
static void tell(const FILE *stream)
{
    struct buffer *buffer = buffer_of(stream);
    const size_t waiting = waiting_in(stream);
    if (buffer == NULL || (stream->_flags & UNBUFFERED) != 0 || waiting == 0 ||
        stream->_mode > 0 || /* wide characters wait elsewhere */
        atomic_load(&buffer->lost) || atomic_load(&buffer->bytes) != waiting)
        return;
    const struct iovec whole = {stream->_IO_write_base, waiting};
    velo_unit_said(velo_unit_says(stream->_fileno), &whole, (ssize_t)waiting);
    atomic_store(&buffer->told, waiting);
}

static bool is_told(const struct buffer *buffer, size_t waiting)
{
    return waiting != 0 ? atomic_load(&buffer->told) == waiting
                        : atomic_load(&buffer->flushed) && atomic_load(&buffer->bytes) == 0 &&
                              !atomic_load(&buffer->lost);
}

/* Was anything ever written to the stream that is not known? */
static void ends(const FILE *stream)
{
    const struct buffer *buffer = buffer_of(stream);
    const bool told = buffer != NULL && is_told(buffer, waiting_in(stream));
    if ((stream->_flags & WRITTEN_TO) != 0 && !told)
        velo_unit_wrote(stream->_fileno);
}

/* Under its lock: what is told must be what comes out. Not waited for, as fflush_unlocked does not. */
static void flushes(FILE *stream)
{
    struct buffer *buffer = buffer_of(stream);
    if (stream == NULL || buffer == NULL)
        return;
    if (ftrylockfile(stream) != 0) {
        velo_unit_wrote(stream->_fileno);
        return;
    }
    if (waiting_in(stream) != 0) {
        tell(stream);
        if (!is_told(buffer, waiting_in(stream)))
            velo_unit_wrote(stream->_fileno);
        /* What another thread puts from here on is counted, and is not there when it is looked at again. */
        atomic_store(&buffer->flushed, is_told(buffer, waiting_in(stream)));
        atomic_store(&buffer->bytes, 0);
        atomic_store(&buffer->told, 0);
    }
    funlockfile(stream);
}

void velo_unit_flushes_now(FILE *stream)
{
    if (stream == NULL || stream == stdout)
        flushes(stdout);
    if (stream == NULL || stream == stderr)
        flushes(stderr);
}

void velo_unit_closes_now(const FILE *stream)
{
    struct buffer *buffer = buffer_of(stream);
    tell(stream);
    ends(stream);
    if (buffer != NULL) { /* what opens there next is another stream */
        atomic_store(&buffer->bytes, 0);
        atomic_store(&buffer->told, 0);
        atomic_store(&buffer->lost, false);
        atomic_store(&buffer->flushed, false);
    }
}

void velo_unit_vouch_now(int delta)
{
    if (velo_vfork_child)
        return; /* its parent's image goes on */
    if (delta > 0) {
        if (stdin != NULL && stdin->_IO_buf_base != NULL) /* it was asked for something */
            velo_unit_reads_now(stdin->_fileno);
        if (stdout != NULL)
            ends(stdout);
        if (stderr != NULL)
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
