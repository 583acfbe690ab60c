/* saying.c - says its argument in the way of that name, and ends well: each is a way in which bytes reach one of the
 * streams that a build tool gave. */
#define _GNU_SOURCE
#include <errno.h>
#include <error.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <wchar.h>

static char text[64];
static size_t length;

/* A file with the text, from its start. */
static int source(void)
{
    const int fd = memfd_create("source", 0);
    if (fd < 0 || pwrite(fd, text, length, 0) != (ssize_t)length)
        exit(3);
    return fd;
}

static int through_pipe(void)
{
    int ends[2];
    if (pipe(ends) != 0 || write(ends[1], text, length) != (ssize_t)length)
        exit(3);
    close(ends[1]);
    return ends[0];
}

static void *in_a_thread(void *fd)
{
    if (write((int)(long)fd, text, length) < 0)
        exit(3);
    return NULL;
}

/* Into a pipe that nobody reads: it does not return. */
static void *without_end(void *nothing)
{
    static char many[1 << 20];
    memset(many, 'x', sizeof many);
    return write(1, many, sizeof many) < 0 ? NULL : nothing;
}

enum { BUFFER = 4096 }; /* of a stream that leads to a file or a pipe */

static const char *many_of(char byte, size_t count)
{
    char *many = calloc(1, count + 1);
    memset(many, byte, count);
    return many;
}

static const char *line_of(size_t count)
{
    char *line = (char *)many_of('-', count);
    line[count - 1] = '\n';
    return line;
}

/* Byte by byte, past any function. */
static void letters(FILE *stream, const char *bytes)
{
    while (*bytes != 0)
        putc_unlocked(*bytes++, stream);
}

/* libc's own, into stderr itself. */
static void between(void)
{
    fputs("said: ", stderr);
    psignal(SIGUSR1, NULL);
}

static void at_exit(void)
{
    fputs(text, stdout);
}

static void by_itself(FILE *stream)
{
    fputs(text, stream);
    fclose(stream);
}

/* Lead stdout to where nothing is read; returns a copy of what it was. */
static int away(void)
{
    const int kept = dup(1);
    if (kept < 0 || dup2(open("/dev/null", O_WRONLY), 1) != 1)
        exit(3);
    return kept;
}

static void lines_of(FILE *stream)
{
    setvbuf(stream, NULL, _IOLBF, BUFFER);
}

/* A shell's builtin says something with its output led elsewhere for so long. */
static void as_a_builtin(void)
{
    lines_of(stdout);
    const int kept = away();
    puts("nowhere");
    dup2(kept, 1);
    fputs(text, stdout);
    away();
    puts("nowhere");
}

static int is(const char *way, const char *name)
{
    return strcmp(way, name) == 0;
}

int main(int count, char **words)
{
    const char *way = count > 1 ? words[1] : "";
    length = (size_t)snprintf(text, sizeof text, "said: %s\n", way);
    const struct iovec pieces[1] = {{text, length}};
    long done = 1;
    if (is(way, "write"))
        done = write(1, text, length);
    else if (is(way, "errors"))
        done = write(2, text, length);
    else if (is(way, "copy"))
        done = write(dup(1), text, length);
    else if (is(way, "far-copy"))
        done = write(fcntl(2, F_DUPFD, 200), text, length);
    else if (is(way, "writev"))
        done = writev(1, pieces, 1);
    else if (is(way, "writev-copy"))
        done = writev(dup(2), pieces, 1);
    else if (is(way, "raw"))
        done = syscall(SYS_write, 1, text, length);
    else if (is(way, "raw-copy"))
        done = syscall(SYS_write, dup(1), text, length);
    else if (is(way, "dprintf"))
        done = dprintf(1, "%s", text);
    else if (is(way, "dprintf-copy"))
        done = dprintf(dup(2), "%s", text);
    else if (is(way, "puts"))
        done = printf("said: %s\n", way);
    else if (is(way, "puts-closed"))
        by_itself(stdout);
    else if (is(way, "errors-closed"))
        by_itself(stderr);
    else if (is(way, "puts-flushed"))
        fputs(text, stdout), fflush(stdout), _exit(0);
    else if (is(way, "printf"))
        printf("%.*s", (int)length, text);
    else if (is(way, "printf-errors"))
        fprintf(stderr, "%.*s", (int)length, text);
    else if (is(way, "fwrite-errors"))
        fwrite(text, 1, length, stderr);
    else if (is(way, "error-text"))
        errno = ENOENT, fprintf(stderr, "said: %m\n");
    else if (is(way, "letters"))
        letters(stdout, text);
    else if (is(way, "letters-errors"))
        letters(stderr, text);
    else if (is(way, "letters-then-puts")) /* a buffer's worth went out before */
        letters(stdout, many_of('-', BUFFER)), fputs("=\n", stdout);
    else if (is(way, "long-then-puts"))
        fputs(many_of('-', 2 * BUFFER), stdout), fputs("=\n", stdout);
    else if (is(way, "flushed-lines"))
        fputs("said: ", stdout), fflush(stdout), fputs("flushed-", stdout), fflush(NULL),
            puts("lines"), fflush_unlocked(stdout);
    else if (is(way, "flushed-letters")) { /* into the buffer past everybody, and out of it */
        fputs("said: ", stdout), fflush(stdout);
        for (const char *at = "flushed-letters\n"; *at != 0; at++)
            putc_unlocked(*at, stdout);
        fflush(stdout);
    } else if (is(way, "flushed-between"))
        fputs("said: ", stdout), fflush(stdout), puts("flushed-between");
    else if (is(way, "unbuffered-puts"))
        setvbuf(stdout, NULL, _IONBF, 0), puts("said: unbuffered-puts");
    else if (is(way, "between-perrors"))
        errno = 0, fputs("said: ", stderr), perror(NULL);
    else if (is(way, "perror-between"))
        errno = 0, between(), fputs("!\n", stderr);
    else if (is(way, "wide-errors"))
        fputws(L"said: wide-errors\n", stderr);
    else if (is(way, "buffered-errors"))
        setvbuf(stderr, NULL, _IOFBF, BUFFER), fputs(text, stderr);
    else if (is(way, "line-buffered"))
        setvbuf(stdout, NULL, _IOLBF, BUFFER), fputs("said: ", stdout), puts("line-buffered");
    else if (is(way, "fork-waiting")) { /* what waits comes out of both */
        fputs("said: ", stdout);
        const pid_t pid = fork();
        if (pid == 0)
            exit(0);
        done = waitpid(pid, NULL, 0);
        puts("fork-waiting");
    } else if (is(way, "lost")) {
        fputs("never", stdout), dprintf(1, "%s", text), _exit(0);
    } else if (is(way, "at-exit")) {
        atexit(at_exit);
    } else if (is(way, "moved")) { /* the stream leads elsewhere before it is written out */
        fputs("nowhere\n", stdout);
        done = dup2(open("/dev/null", O_WRONLY), 1) == 1 && write(2, text, length) > 0;
    } else if (is(way, "moved-back")) {
        const int kept = dup(1);
        done = dup2(open("/dev/null", O_WRONLY), 1) == 1;
        fputs(text, stdout), dup2(kept, 1);
    } else if (is(way, "puts-reopened"))
        fputs(text, stdout), freopen("/dev/null", "w", stdout);
    else if (is(way, "wide"))
        fputws(L"said: wide\n", stdout);
    else if (is(way, "unbuffered"))
        setvbuf(stdout, NULL, _IONBF, 0), fputs(text, stdout), fclose(stdout);
    else if (is(way, "fdopen"))
        by_itself(fdopen(1, "w"));
    else if (is(way, "fdopen-copy"))
        by_itself(fdopen(dup(1), "a"));
    else if (is(way, "fopen-device"))
        by_itself(fopen("/dev/stderr", "a"));
    else if (is(way, "fopen-proc"))
        by_itself(fopen("/proc/self/fd/1", "a"));
    else if (is(way, "freopen-device"))
        stdin = freopen("/dev/stdout", "a", stdin), by_itself(stdin);
    else if (is(way, "open-device"))
        done = write(open("/dev/stdout", O_WRONLY | O_APPEND), text, length);
    else if (is(way, "open-number"))
        done = write(open("/dev/fd/2", O_WRONLY | O_APPEND), text, length);
    else if (is(way, "lines-elsewhere"))
        as_a_builtin();
    else if (is(way, "lines-and-rest"))
        lines_of(stdout), fputs("said: lines-and-rest\nsaid: ", stdout), puts("more");
    else if (is(way, "lines-format"))
        lines_of(stdout), printf("said: %s", "lines"), printf("-%s\n", "format");
    else if (is(way, "lines-letters"))
        lines_of(stdout), letters(stdout, text);
    else if (is(way, "lines-errors"))
        lines_of(stderr), fputs("said: ", stderr), fputs("lines-errors\n", stderr);
    else if (is(way, "lines-flushed"))
        lines_of(stdout), fputs("said: ", stdout), fflush(stdout), fputs("lines-flushed\n", stdout);
    else if (is(way, "lines-long"))
        lines_of(stdout), fputs(many_of('-', 2 * BUFFER), stdout), puts("=");
    else if (is(way, "lines-error")) /* libc's own, into what waits */
        lines_of(stderr), fputs("said: ", stderr), error(0, 0, "lines-error");
    else if (is(way, "lines-purged"))
        lines_of(stdout), fputs("never", stdout), __fpurge(stdout), fputs(text, stdout);
    else if (is(way, "flushed-error"))
        setvbuf(stderr, NULL, _IOFBF, BUFFER), fputs("said: ", stderr), fflush(stderr),
            error(0, 0, "flushed-error");
    else if (is(way, "flushed-elsewhere"))
        fputs(text, stdout), fflush(stdout), away(), fputs("nowhere", stdout), fflush(stdout);
    else if (is(way, "letters-elsewhere"))
        letters(stdout, text), fflush(stdout), away();
    else if (is(way, "much-elsewhere")) /* whole buffers: nothing of it waits */
        fputs(line_of(2 * BUFFER), stdout), away();
    else if (is(way, "more-elsewhere"))
        fputs(many_of('-', 1), stdout), fputs(line_of(2 * BUFFER - 1), stdout), away();
    else if (is(way, "much-closed"))
        fputs(line_of(2 * BUFFER), stdout), close(1);
    else if (is(way, "led")) { /* a stream that had another file */
        FILE *stream = fopen("/dev/null", "w");
        done = dup2(1, fileno(stream));
        by_itself(stream);
    } else if (is(way, "other-stdout")) {
        FILE *first = stdout;
        stdout = fopen("/dev/null", "w");
        fputs(text, first), puts("nowhere");
    } else if (is(way, "perror"))
        errno = 0, perror("said");
    else if (is(way, "psignal"))
        psignal(SIGUSR1, "said");
    else if (is(way, "sendfile"))
        done = sendfile(1, source(), &(off_t){0}, length);
    else if (is(way, "sendfile-copy"))
        done = sendfile(dup(2), source(), &(off_t){0}, length);
    else if (is(way, "splice"))
        done = splice(through_pipe(), NULL, 1, NULL, length, 0);
    else if (is(way, "thread")) {
        pthread_t thread;
        done = pthread_create(&thread, NULL, in_a_thread, (void *)1L) == 0 &&
               pthread_join(thread, NULL) == 0;
    } else if (is(way, "left")) {
        pthread_t thread;
        int waiting = 0;
        done = pthread_create(&thread, NULL, without_end, NULL) == 0;
        while (waiting == 0 && ioctl(1, FIONREAD, &waiting) == 0)
            sched_yield();
    } else if (is(way, "fork")) {
        const pid_t pid = fork();
        if (pid == 0)
            in_a_thread((void *)(long)dup(1)), _exit(0);
        done = waitpid(pid, NULL, 0);
    } else if (is(way, "inherited")) {
        dup2(1, 7);
        close(1);
        execl("/proc/self/exe", words[0], "by-seven", (char *)NULL);
    } else if (is(way, "by-seven"))
        done = write(7, text, length);
    else if (!is(way, "nothing"))
        return 2;
    if (done < 0 && errno == EINVAL) /* into a file that is appended to: no such calls */
        done = write(1, text, length);
    return done > 0 || is(way, "nothing") ? 0 : 4;
}
