/* print.c - calls that write to streams: their space is charged, as that of write is (wrap/io.c), and a build step's
 * text is written down (replay/printed.c).
 *
 * libc hands a stream's bytes to the kernel by calls of its own, in front of which no library can stand.
 * So bytes are charged when they go into the stream. The length of printed text is known afterwards: most
 * of the text is in the stream's buffer then, and the rest is less than the reserve (core/disk/room.c).
 * Wide characters are not charged: programs write no large files with them. */
#include <features.h>
#undef __USE_EXTERN_INLINES /* libc's headers would define some of these themselves */
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "preload/write/credit.h"
#include "preload/base/raw.h"
#include "preload/replay/printed.h"

#undef fflush_unlocked
#undef fputs_unlocked
#undef fwrite_unlocked
#undef putc
#undef putchar
#undef fputc_unlocked
#undef putc_unlocked
#undef putchar_unlocked

enum { PRINTED_MAX = 4096 }; /* of a formatted text that is written down */

static inline bool with_credit(const FILE *stream)
{
    return !velo_is_nowhere(stream) && __builtin_expect(velo_write_credit(stream->_fileno) != 0, 0);
}

/* The stream's lock, which other writers to it take: they may not write while its file is led away. */
static void begin(FILE *stream, int *cancellable)
{
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, cancellable); /* it would leave the lock taken */
    flockfile(stream);
}

static void end(FILE *stream, int cancellable)
{
    funlockfile(stream);
    pthread_setcancelstate(cancellable, NULL);
}

/* `call` on a stream with a write credit, of `count` bytes; the caller has the lock, or needs none. */
#define CHARGED_UNLOCKED(stream, count, call)                                                      \
    ({                                                                                             \
        velo_write_credit_charge(stream->_fileno, count);                                          \
        const bool began_ = velo_gate_enter(stream->_fileno);                                      \
        const __typeof__(call) done_ = call;                                                       \
        velo_gate_leave(began_);                                                                   \
        done_;                                                                                     \
    })
#define CHARGED(stream, count, call)                                                               \
    ({                                                                                             \
        int cancellable_ = PTHREAD_CANCEL_ENABLE;                                                  \
        begin(stream, &cancellable_);                                                              \
        const __typeof__(call) all_ = CHARGED_UNLOCKED(stream, count, call);                       \
        end(stream, cancellable_);                                                                 \
        all_;                                                                                      \
    })

/* `call` prints `length` bytes of `text` to the stream, if `done_`, its result, says so; else `length` is negative. */
#define HEARD(into, call, text, length)                                                            \
    ({                                                                                             \
        struct velo_print print_;                                                                  \
        velo_print_begins(into, &print_);                                                          \
        const __typeof__(call) done_ = call;                                                       \
        if (print_.stream != NULL)                                                                 \
            velo_print_ends_now(&print_, text, length);                                            \
        done_;                                                                                     \
    })

static size_t charged_fwrite(const void *bytes, size_t size, size_t count, FILE *stream)
{
    return with_credit(stream)
               ? CHARGED(stream, size * count, NEXT(fwrite)(bytes, size, count, stream))
               : NEXT(fwrite)(bytes, size, count, stream);
}

EXPORT size_t fwrite(const void *restrict bytes, size_t size, size_t count, FILE *restrict stream)
{
    return HEARD(stream, charged_fwrite(bytes, size, count, stream), bytes,
                 done_ == count ? (ssize_t)(size * count) : -1);
}
ALIAS(_IO_fwrite, fwrite);

static size_t charged_fwrite_unlocked(const void *bytes, size_t size, size_t count, FILE *stream)
{
    return with_credit(stream) ? CHARGED_UNLOCKED(stream, size * count,
                                                  NEXT(fwrite_unlocked)(bytes, size, count, stream))
                               : NEXT(fwrite_unlocked)(bytes, size, count, stream);
}

EXPORT size_t fwrite_unlocked(const void *restrict bytes, size_t size, size_t count,
                              FILE *restrict stream)
{
    return HEARD(stream, charged_fwrite_unlocked(bytes, size, count, stream), bytes,
                 done_ == count ? (ssize_t)(size * count) : -1);
}

static int charged_fputs(const char *text, FILE *stream)
{
    return with_credit(stream) ? CHARGED(stream, strlen(text), NEXT(fputs)(text, stream))
                               : NEXT(fputs)(text, stream);
}

EXPORT int fputs(const char *restrict text, FILE *restrict stream)
{
    return HEARD(stream, charged_fputs(text, stream), text, done_ < 0 ? -1 : (ssize_t)strlen(text));
}

static int charged_fputs_unlocked(const char *text, FILE *stream)
{
    return with_credit(stream)
               ? CHARGED_UNLOCKED(stream, strlen(text), NEXT(fputs_unlocked)(text, stream))
               : NEXT(fputs_unlocked)(text, stream);
}

EXPORT int fputs_unlocked(const char *restrict text, FILE *restrict stream)
{
    return HEARD(stream, charged_fputs_unlocked(text, stream), text,
                 done_ < 0 ? -1 : (ssize_t)strlen(text));
}

static int charged_line(const char *text)
{
    return with_credit(stdout) ? CHARGED(stdout, strlen(text) + 1, NEXT(puts)(text))
                               : NEXT(puts)(text);
}

EXPORT int puts(const char *text)
{
    return HEARD(stdout, charged_line(text), (print_.ends_line = true, text),
                 done_ < 0 ? -1 : (ssize_t)strlen(text) + 1);
}

/* ---- characters ------------------------------------------------------------------------------ */

static int charged_fputc(int byte, FILE *stream)
{
    return with_credit(stream) ? CHARGED(stream, 1, NEXT(fputc)(byte, stream))
                               : NEXT(fputc)(byte, stream);
}

EXPORT int fputc(int byte, FILE *stream)
{
    const unsigned char text = (unsigned char)byte;
    return HEARD(stream, charged_fputc(byte, stream), &text, done_ == EOF ? -1 : 1);
}
ALIAS(putc, fputc);
ALIAS(_IO_putc, fputc);

EXPORT int putchar(int byte)
{
    return fputc(byte, stdout);
}

static int charged_fputc_unlocked(int byte, FILE *stream)
{
    return with_credit(stream) ? CHARGED_UNLOCKED(stream, 1, NEXT(fputc_unlocked)(byte, stream))
                               : NEXT(fputc_unlocked)(byte, stream);
}

EXPORT int fputc_unlocked(int byte, FILE *stream)
{
    const unsigned char text = (unsigned char)byte;
    return HEARD(stream, charged_fputc_unlocked(byte, stream), &text, done_ == EOF ? -1 : 1);
}
ALIAS(putc_unlocked, fputc_unlocked);

EXPORT int putchar_unlocked(int byte)
{
    return fputc_unlocked(byte, stdout);
}

/* The macros call these when the buffer is full; then the file is charged for the buffer. */
int __overflow(FILE *stream, int byte);

static int charged_overflow(FILE *stream, int byte)
{
    if (!with_credit(stream))
        return NEXT(__overflow)(stream, byte);
    const size_t buffer = (size_t)(stream->_IO_buf_end - stream->_IO_buf_base);
    return CHARGED_UNLOCKED(stream, buffer + 1, NEXT(__overflow)(stream, byte));
}

EXPORT int __overflow(FILE *stream, int byte)
{
    const unsigned char text = (unsigned char)byte;
    return HEARD(stream, charged_overflow(stream, byte), &text,
                 done_ != EOF && print_.heard ? 1 : -1);
}

/* ---- formats --------------------------------------------------------------------------------- */

/* `call` prints to a hinted stream; it is charged for what it has printed. */
#define PRINTED(stream, call)                                                                      \
    ({                                                                                             \
        int cancellable_ = PTHREAD_CANCEL_ENABLE;                                                  \
        begin(stream, &cancellable_);                                                              \
        const bool began_ = velo_gate_enter(stream->_fileno);                                      \
        const int done_ = call;                                                                    \
        velo_gate_leave(began_);                                                                   \
        const int saved_ = errno;                                                                  \
        if (done_ > 0)                                                                             \
            velo_write_credit_charge(stream->_fileno, (size_t)done_);                              \
        errno = saved_;                                                                            \
        end(stream, cancellable_);                                                                 \
        done_;                                                                                     \
    })

int __vfprintf_chk(FILE *restrict stream, int flag, const char *restrict format, va_list values);
int __fprintf_chk(FILE *restrict stream, int flag, const char *restrict format, ...);
int __vprintf_chk(int flag, const char *restrict format, va_list values);
int __printf_chk(int flag, const char *restrict format, ...);

static int charged_vfprintf(FILE *stream, const char *format, va_list values)
{
    return with_credit(stream) ? PRINTED(stream, NEXT(vfprintf)(stream, format, values))
                               : NEXT(vfprintf)(stream, format, values);
}

static int charged_vfprintf_chk(FILE *stream, int flag, const char *format, va_list values)
{
    return with_credit(stream) ? PRINTED(stream, NEXT(__vfprintf_chk)(stream, flag, format, values))
                               : NEXT(__vfprintf_chk)(stream, flag, format, values);
}

/* The print has ended, and `count` bytes went in: which ones is found by printing again, with the errno that it was
 * called with (%m). Apart: its stack is used here. */
__attribute__((noinline)) static void tell_again(const struct velo_print *print, int count,
                                                 int given, const char *format, va_list again)
{
    char text[PRINTED_MAX];
    const int saved = errno;
    errno = given;
    const bool known = velo_print_needs_text(print, count) && count < PRINTED_MAX &&
                       vsnprintf(text, sizeof text, format, again) == count;
    velo_print_ends_now(print, known ? text : NULL, count);
    errno = saved;
}

/* `call` prints `values`. */
#define HEARD_AS(into, format, values, call)                                                       \
    ({                                                                                             \
        struct velo_print print_;                                                                  \
        const int given_ = errno;                                                                  \
        va_list again_;                                                                            \
        velo_print_begins(into, &print_);                                                          \
        va_copy(again_, values);                                                                   \
        const int printed_ = call;                                                                 \
        if (print_.stream != NULL)                                                                 \
            tell_again(&print_, printed_, given_, format, again_);                                 \
        va_end(again_);                                                                            \
        printed_;                                                                                  \
    })

EXPORT int vfprintf(FILE *restrict stream, const char *restrict format, va_list values)
{
    return HEARD_AS(stream, format, values, charged_vfprintf(stream, format, values));
}

EXPORT int __vfprintf_chk(FILE *restrict stream, int flag, const char *restrict format,
                          va_list values)
{
    return HEARD_AS(stream, format, values, charged_vfprintf_chk(stream, flag, format, values));
}

EXPORT int fprintf(FILE *restrict stream, const char *restrict format, ...)
{
    va_list values;
    va_start(values, format);
    const int done = vfprintf(stream, format, values);
    va_end(values);
    return done;
}

EXPORT int __fprintf_chk(FILE *restrict stream, int flag, const char *restrict format, ...)
{
    va_list values;
    va_start(values, format);
    const int done = __vfprintf_chk(stream, flag, format, values);
    va_end(values);
    return done;
}

EXPORT int vprintf(const char *restrict format, va_list values)
{
    return vfprintf(stdout, format, values);
}

EXPORT int __vprintf_chk(int flag, const char *restrict format, va_list values)
{
    return __vfprintf_chk(stdout, flag, format, values);
}

EXPORT int printf(const char *restrict format, ...)
{
    va_list values;
    va_start(values, format);
    const int done = vfprintf(stdout, format, values);
    va_end(values);
    return done;
}

EXPORT int __printf_chk(int flag, const char *restrict format, ...)
{
    va_list values;
    va_start(values, format);
    const int done = __vfprintf_chk(stdout, flag, format, values);
    va_end(values);
    return done;
}

/* ---- what waits comes out: C++ does it at the end of each line (std::endl) -------------------------- */

EXPORT int fflush(FILE *stream)
{
    velo_unit_flushes(stream);
    const int rc = NEXT(fflush)(stream);
    velo_unit_flushed(stream, rc);
    return rc;
}
ALIAS(_IO_fflush, fflush);

EXPORT int fflush_unlocked(FILE *stream)
{
    velo_unit_flushes(stream);
    const int rc = NEXT(fflush_unlocked)(stream);
    velo_unit_flushed(stream, rc);
    return rc;
}
