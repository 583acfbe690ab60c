/* saying.c - says its argument in the way of that name, and ends well: each is a way in which bytes reach one of the
 * streams that a build tool gave. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
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

static void by_itself(FILE *stream)
{
    fputs(text, stream);
    fclose(stream);
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
    else if (is(way, "puts-reopened"))
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
    else if (is(way, "perror"))
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
