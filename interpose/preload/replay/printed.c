/* printed.c - streams of libc's that lead to those of the unit. See printed.h.
 *
 * In    what goes in by the calls that we stand in front of (wrap/print.c)
 * Out   records of what comes out, or the sign that unknown bytes came out
 *
 * A stream that has no buffer, or gives each line away, hands bytes to the kernel only within a call that we stand in
 * front of: its macros cannot put a byte by themselves. The bytes that waited before the call, those that were put and
 * those that wait afterwards tell what came out, and we know where the descriptor led meanwhile. Shells print so: bash
 * leads its stdout elsewhere for each redirection of a builtin. A stream with a whole buffer is counted: when it is
 * flushed or closed it holds as many bytes as went in by us, or more (macros put some past us), or fewer (some have
 * come out).
 *
 * Whether bytes came out past us is asked before the descriptor is led elsewhere, too: afterwards there is no way to
 * tell where they went. An empty stream tells it by libc's flag, which we took away. */
#include "printed.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "member.h"
#include "said.h"
#include "preload/path/claim.h"

enum {
    NO_WRITES = 0x0008,
    UNBUFFERED = 0x0002,
    BY_LINE = 0x0200,
    WRITTEN_TO = 0x0800
}; /* _flags */
enum { WAITING_MAX = 4096 }; /* a line that is put in many calls and is longer is not known */

/* The bytes that went into a stream's buffer and did not come out. */
struct buffer {
    _Atomic size_t bytes, told; /* told: what waited when that was written down */
    atomic_bool lost;           /* something may have come out */
    atomic_bool at_rest;        /* it was empty, and we took the flag away */
    size_t kept;                /* of what waited after the last call that we listened to */
    char waiting[WAITING_MAX];
};
static struct buffer of_output, of_errors;

static struct buffer *buffer_of(const FILE *stream)
{
    return stream == VELO_OUTPUT ? &of_output : stream == VELO_ERRORS ? &of_errors : NULL;
}

static size_t waiting_in(const FILE *stream)
{
    return (size_t)(stream->_IO_write_ptr - stream->_IO_write_base);
}

/* Is all that the stream was ever given written down, or not of interest, or waiting in its buffer? */
static bool is_known(const struct buffer *buffer, const FILE *stream)
{
    const size_t waiting = waiting_in(stream);
    if (atomic_load(&buffer->lost) || atomic_load(&buffer->told) != 0 ||
        atomic_load(&buffer->bytes) != waiting)
        return false;
    if (waiting == 0)
        return (stream->_flags & WRITTEN_TO) == 0;
    return buffer->kept <= waiting &&
           memcmp(buffer->waiting, stream->_IO_write_base, buffer->kept) == 0;
}

/* From here on it is asked anew what came out. */
static void begin_anew(struct buffer *buffer, size_t waiting)
{
    atomic_store(&buffer->bytes, waiting);
    atomic_store(&buffer->told, 0);
    atomic_store(&buffer->lost, false);
    buffer->kept = 0;
}

/* Bytes that came out past us until now, if any, went where the descriptor still leads. */
static void ask(struct buffer *buffer, const FILE *stream)
{
    if (!is_known(buffer, stream))
        velo_unit_wrote(stream->_fileno);
    begin_anew(buffer, waiting_in(stream));
}

/* Under the stream's lock. When no byte waits, the stream begins anew with the next byte, as it did with the first. */
static void rest(struct buffer *buffer, FILE *stream)
{
    if (waiting_in(stream) != 0 || stream->_mode > 0 || (stream->_flags & WRITTEN_TO) == 0)
        return;
    stream->_flags &= ~WRITTEN_TO;
    stream->_IO_write_end = stream->_IO_write_base;
    atomic_store(&buffer->at_rest, true);
}

/* Lines come out as if the stream had never rested: as many in one piece as are put at once. */
static void wake(struct buffer *buffer, FILE *stream)
{
    if (atomic_exchange(&buffer->at_rest, false) &&
        (stream->_flags & (WRITTEN_TO | BY_LINE)) == BY_LINE &&
        stream->_IO_write_end == stream->_IO_buf_base && waiting_in(stream) == 0 &&
        stream->_IO_read_end == stream->_IO_buf_base && stream->_IO_buf_base != NULL)
        stream->_flags |= WRITTEN_TO;
}

static void keep(struct buffer *buffer, const FILE *stream)
{
    const size_t waiting = waiting_in(stream);
    begin_anew(buffer, waiting);
    buffer->kept = waiting < WAITING_MAX ? waiting : WAITING_MAX;
    if (waiting != 0)
        memcpy(buffer->waiting, stream->_IO_write_base, buffer->kept);
}

/* ---- a call that prints ---------------------------------------------------------------------- */

/* The first call tells whether libc finds a terminal there, whose lines it gives away. */
static bool is_heard(const FILE *stream)
{
    return (stream->_flags & (UNBUFFERED | BY_LINE)) != 0 || stream->_IO_buf_base == NULL;
}

void velo_print_begins_now(FILE *stream, struct velo_print *print)
{
    struct buffer *buffer = buffer_of(stream);
    print->stream = stream;
    print->ends_line = false;
    print->heard = is_heard(stream);
    if (!print->heard)
        return; /* it is counted afterwards: cc1 prints each instruction to its `-pipe` */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &print->cancellable);
    flockfile(stream);
    ask(buffer, stream);
    keep(buffer, stream);
    wake(buffer, stream);
    print->waited = waiting_in(stream);
    print->said = velo_unit_says(stream->_fileno);
}

static void count_in(const FILE *stream, ssize_t count)
{
    struct buffer *buffer = buffer_of(stream);
    if (count < 0)
        atomic_store_explicit(&buffer->lost, true, memory_order_relaxed);
    else
        atomic_fetch_add_explicit(&buffer->bytes, (size_t)count, memory_order_relaxed);
    if (atomic_load_explicit(&buffer->told, memory_order_relaxed) != 0)
        velo_unit_wrote(stream->_fileno); /* a thread goes on while its process ends */
}

/* How many bytes came out; negative: it cannot be known. */
static ssize_t came_out(const struct velo_print *print, ssize_t count)
{
    return count < 0 ? -1 : (ssize_t)print->waited + count - (ssize_t)waiting_in(print->stream);
}

bool velo_print_needs_text(const struct velo_print *print, ssize_t count)
{
    return print->heard && print->said != 0 && came_out(print, count) > 0;
}

/* Writes down the bytes that came out: the first of those that waited and of those that were put behind them. */
static void write_down(const struct velo_print *print, const void *text, ssize_t count)
{
    struct buffer *buffer = buffer_of(print->stream);
    const ssize_t out = came_out(print, count);
    const size_t own = (size_t)count - (print->ends_line ? 1 : 0);
    if (out < 0 || (out > 0 && (text == NULL || print->waited > WAITING_MAX)))
        return; /* stays counted */
    const struct iovec pieces[] = {
        {buffer->waiting, print->waited}, {(void *)text, own}, {(char *)"\n", 1}};
    velo_unit_said(print->said, print->waited != 0 ? pieces : pieces + 1, out);
}

void velo_print_ends_now(const struct velo_print *print, const void *text, ssize_t count)
{
    FILE *stream = print->stream;
    struct buffer *buffer = buffer_of(stream);
    if (!print->heard) {
        count_in(stream, count);
        return;
    }
    write_down(print, text, count);
    keep(buffer, stream);
    if (count >= 0)
        rest(buffer, stream);
    funlockfile(stream);
    pthread_setcancelstate(print->cancellable, NULL);
}

/* ---- what waits comes out -------------------------------------------------------------------- */

/* All that the stream was ever given waits in its buffer, and comes out right afterwards. */
static void tell(const FILE *stream)
{
    struct buffer *buffer = buffer_of(stream);
    const size_t waiting = waiting_in(stream);
    if ((stream->_flags & UNBUFFERED) != 0 || waiting == 0 ||
        stream->_mode > 0 || /* wide characters wait elsewhere */
        !is_known(buffer, stream))
        return;
    const struct iovec whole = {stream->_IO_write_base, waiting};
    velo_unit_said(velo_unit_says(stream->_fileno), &whole, (ssize_t)waiting);
    atomic_store(&buffer->told, waiting);
}

static bool is_told(const struct buffer *buffer, const FILE *stream)
{
    const size_t waiting = waiting_in(stream);
    return waiting != 0 ? atomic_load(&buffer->told) == waiting : is_known(buffer, stream);
}

/* The stream ends: were unknown bytes ever written to it? */
static void ends(const FILE *stream)
{
    if ((stream->_flags & WRITTEN_TO) != 0 && !is_told(buffer_of(stream), stream))
        velo_unit_wrote(stream->_fileno);
}

/* Under the stream's lock, since the bytes that are told must be those that come out. Does not wait for the lock, as
 * fflush_unlocked does not. */
static void flushes(FILE *stream)
{
    struct buffer *buffer = buffer_of(stream);
    if (ftrylockfile(stream) != 0) {
        velo_unit_wrote(stream->_fileno);
        return;
    }
    tell(stream);
    if (!is_told(buffer, stream))
        velo_unit_wrote(stream->_fileno);
    /* Bytes that another thread puts from here on are counted, and are missing at the next look. */
    begin_anew(buffer, 0);
    funlockfile(stream);
}

static void flushed(FILE *stream, int rc)
{
    struct buffer *buffer = buffer_of(stream);
    if (rc != 0)
        velo_unit_wrote(stream->_fileno); /* it was told, and is not out */
    if (ftrylockfile(stream) != 0)
        return;
    if (rc == 0 && atomic_load(&buffer->bytes) == 0 && !atomic_load(&buffer->lost))
        rest(buffer, stream);
    funlockfile(stream);
}

void velo_unit_flushes_now(FILE *stream)
{
    if (stream == NULL || stream == VELO_OUTPUT)
        flushes(VELO_OUTPUT);
    if (stream == NULL || stream == VELO_ERRORS)
        flushes(VELO_ERRORS);
}

void velo_unit_flushed_now(FILE *stream, int rc)
{
    if (stream == NULL || stream == VELO_OUTPUT)
        flushed(VELO_OUTPUT, rc);
    if (stream == NULL || stream == VELO_ERRORS)
        flushed(VELO_ERRORS, rc);
}

void velo_unit_closes_now(const FILE *stream)
{
    struct buffer *buffer = buffer_of(stream);
    if (buffer == NULL)
        return;
    tell(stream);
    ends(stream);
    begin_anew(buffer, 0); /* what opens there next is another stream */
}

/* ---- descriptors are led elsewhere ----------------------------------------------------------- */

/* A signal's handler may be calling: the stream itself stays as it is. */
void velo_unit_moves_now(int fd)
{
    if (velo_vfork_child)
        return; /* of its own descriptors: its parent's lead where they did */
    if (VELO_OUTPUT->_fileno == fd)
        ask(&of_output, VELO_OUTPUT);
    if (VELO_ERRORS->_fileno == fd)
        ask(&of_errors, VELO_ERRORS);
}

extern FILE *_IO_list_all;
void _IO_list_lock(void);
void _IO_list_unlock(void);

void velo_unit_moved_now(int fd)
{
    bool found = false;
    if (velo_vfork_child || !velo_unit_is_outlet(fd))
        return;
    _IO_list_lock();
    for (const FILE *each = _IO_list_all; each != NULL; each = each->_chain)
        found |= each->_fileno == fd && (each->_flags & NO_WRITES) == 0 && buffer_of(each) == NULL;
    _IO_list_unlock();
    if (found)
        velo_unit_wrote(fd);
}

/* ---- an image ends --------------------------------------------------------------------------- */

/* Was the standard input asked for something? A python that is to buffer nothing (PYTHONUNBUFFERED) takes that stream's
 * buffer away as it starts, and reads by descriptors. When it reads by the stream, this has a mode from then on. */
static bool is_asked(const FILE *stream)
{
    return stream != NULL && stream->_IO_buf_base != NULL &&
           (stream->_mode != 0 || strncmp(program_invocation_short_name, "python", 6) != 0);
}

void velo_unit_vouch_now(int delta)
{
    if (velo_vfork_child)
        return; /* its parent's image goes on */
    if (delta > 0) {
        if (is_asked(stdin))
            velo_unit_reads_now(stdin->_fileno);
        ends(VELO_OUTPUT);
        ends(VELO_ERRORS);
    }
    atomic_fetch_add(&velo_unit->vouched, (uint32_t)delta);
}

__attribute__((destructor(102))) static void leave(void)
{
    if (velo_unit != NULL) {
        velo_member_objects(); /* what was loaded since */
        tell(VELO_OUTPUT);
        tell(VELO_ERRORS);
    }
    velo_unit_vouch(1);
}
