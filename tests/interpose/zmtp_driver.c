/* zmtp_driver.c - velo_request and its codec under the control of test_zmtp.py.
 *
 *     ask             lines in, one request each, one line out (see ask_one)
 *     closed|alarm|vfork|stack   the same for one line, in the circumstance of that name
 *     feed            lines of peer bytes in hex, through the codec alone (see feed_one)
 *     fuzz SEED COUNT mutated conversations, each cut in different ways
 *
 * Every buffer that the code under test sees is its own malloc of the exact size, so that ASan
 * sees one byte too many.  Any broken promise ends the driver with a sentence on stderr. */
#define _GNU_SOURCE
#include "wire/zmtp.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "wire/zmtp_codec.h"

enum { FRAMES_MAX = 64, ERRNO_MARK = 4242, UNTOUCHED = 77777 };

static void require(int condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "zmtp_driver: broken promise: %s\n", what);
    abort();
}

static void *own(const void *bytes, size_t count)
{
    void *copy = malloc(count);
    if (count > 0)
        memcpy(copy, bytes, count);
    return copy;
}

static size_t unhex(char *text)
{
    size_t count = 0;
    unsigned byte;
    for (; sscanf(text + 2 * count, "%2x", &byte) == 1; count++)
        text[count] = (char)byte;
    return count;
}

static void print_hex(FILE *out, const unsigned char *bytes, size_t count)
{
    if (count == 0)
        fputc('-', out);
    for (size_t i = 0; i < count; i++)
        fprintf(out, "%02x", bytes[i]);
}

/* One frame: "@N" is N bytes of a pattern, "-" is empty, anything else is hex. */
static struct velo_bytes parse_frame(char *text)
{
    if (text[0] != '@') {
        const size_t length = text[0] == '-' ? 0 : unhex(text);
        return (struct velo_bytes){own(text, length), length};
    }
    const size_t length = strtoul(text + 1, NULL, 10);
    unsigned char *bytes = malloc(length);
    for (size_t i = 0; i < length; i++)
        bytes[i] = (unsigned char)(i * 7);
    return (struct velo_bytes){bytes, length};
}

static int open_descriptors(void)
{
    int count = 0;
    DIR *self = opendir("/proc/self/fd");
    while (readdir(self) != NULL)
        count++;
    closedir(self);
    return count;
}

struct call { /* one velo_request and what came of it */
    char *path, *verb;
    uint32_t timeout_ms;
    size_t reply_size, reply_length, stack_bytes;
    unsigned frame_count;
    struct velo_bytes frames[FRAMES_MAX];
    unsigned char *reply;
    int code;
};

static void perform(struct call *call)
{
    errno = ERRNO_MARK;
    call->code = velo_request(call->path, call->verb, call->frames, call->frame_count,
                              call->timeout_ms, call->reply, call->reply_size, &call->reply_length);
    require(errno == ERRNO_MARK, "errno is left alone");
}

static void perform_closed(struct call *call)
{
    for (int fd = 0; fd < 3; fd++) {
        require(fcntl(fd, F_DUPFD, 20 + fd) == 20 + fd, "20-22 are free");
        close(fd);
    }
    perform(call);
    for (int fd = 0; fd < 3; fd++) {
        require(fcntl(fd, F_GETFD) == -1, "0-2 are closed still");
        dup2(20 + fd, fd);
        close(20 + fd);
    }
}

static volatile sig_atomic_t alarms;

static void count_alarm(int number)
{
    (void)number;
    alarms++;
}

static void perform_alarm(struct call *call)
{
    const struct sigaction action = {.sa_handler = count_alarm};
    const struct itimerval often = {{0, 500}, {0, 500}}, never = {{0, 0}, {0, 0}};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    perform(call);
    setitimer(ITIMER_REAL, &never, NULL);
    require(alarms > 0, "alarms interrupted the request");
}

static void perform_vfork(struct call *call)
{
    int status;
    const pid_t child = vfork();
    if (child == 0) {
        perform(call);
        _exit(0);
    }
    require(child > 0 && waitpid(child, &status, 0) == child && status == 0, "the child ends well");
}

static struct call *painted_call;

static void perform_painted(void)
{
    perform(painted_call);
}

/* On a stack of our own, painted: how deep did it go? */
static void perform_stack(struct call *call)
{
    enum { STACK = 65536, PAINT = 0xa5 };
    ucontext_t here, there;
    unsigned char *stack = malloc(STACK);
    memset(stack, PAINT, STACK);
    getcontext(&there);
    there.uc_stack.ss_sp = stack;
    there.uc_stack.ss_size = STACK;
    there.uc_link = &here;
    painted_call = call;
    makecontext(&there, perform_painted, 0);
    swapcontext(&here, &there);
    size_t untouched = 0;
    while (untouched < STACK && stack[untouched] == PAINT)
        untouched++;
    call->stack_bytes = STACK - untouched;
    free(stack);
}

/* in:  path verb timeout_ms reply_size [frame...]      out: code reply milliseconds stack_bytes */
static void ask_one(char *line, void (*perform_it)(struct call *))
{
    struct call call = {.reply_length = UNTOUCHED};
    struct timespec start, end;
    call.path = strtok(line, " \n");
    call.verb = strtok(NULL, " \n");
    call.timeout_ms = (uint32_t)strtoul(strtok(NULL, " \n"), NULL, 10);
    call.reply_size = strtoul(strtok(NULL, " \n"), NULL, 10);
    for (char *word; call.frame_count < FRAMES_MAX && (word = strtok(NULL, " \n")) != NULL;)
        call.frames[call.frame_count++] = parse_frame(word);
    call.reply = call.reply_size > 0 ? malloc(call.reply_size) : NULL;

    const int before = open_descriptors();
    clock_gettime(CLOCK_MONOTONIC, &start);
    perform_it(&call);
    clock_gettime(CLOCK_MONOTONIC, &end);
    require(open_descriptors() == before, "every descriptor is closed");
    require(call.code >= 0 || call.reply_length == UNTOUCHED, "a failure gives no length");

    printf("%d ", call.code);
    print_hex(stdout, call.reply, call.code >= 0 ? call.reply_length : 0);
    const long elapsed_ns = (end.tv_sec - start.tv_sec) * 1000000000 + end.tv_nsec - start.tv_nsec;
    printf(" %ld %zu\n", elapsed_ns / 1000000, call.stack_bytes);
    fflush(stdout);
    for (unsigned i = 0; i < call.frame_count; i++)
        free((void *)(uintptr_t)call.frames[i].data);
    free(call.reply);
}

/* ---- the codec alone ------------------------------------------------------------------------ */

struct outcome {
    int result; /* of velo_zmtp_input */
    int code;
    size_t consumed, reply_length, said_length;
    unsigned char *reply;
    unsigned char said[65536]; /* the part of our output that fits */
};

/* Take all output, at most `step` bytes at a time. */
static void drain(struct velo_zmtp *zmtp, struct outcome *outcome, size_t step)
{
    struct iovec pieces[VELO_ZMTP_PIECES_MAX];
    for (unsigned count; (count = velo_zmtp_output(zmtp, pieces)) > 0;) {
        size_t sent = 0;
        require(count <= VELO_ZMTP_PIECES_MAX, "no more pieces than there is room for");
        for (unsigned i = 0; i < count && sent < step; i++) {
            size_t part = pieces[i].iov_len < step - sent ? pieces[i].iov_len : step - sent;
            require(part > 0, "no piece is empty");
            if (outcome->said_length + part <= sizeof(outcome->said))
                memcpy(outcome->said + outcome->said_length, pieces[i].iov_base, part);
            outcome->said_length += part;
            sent += part;
        }
        velo_zmtp_sent(zmtp, sent);
    }
}

/* How the peer's bytes are cut: one of `size` bytes first, then pieces of `next`; 0 is random. */
struct cut {
    size_t size, next, step;
};

static struct outcome *converse(const unsigned char *bytes, size_t count, size_t reply_size,
                                struct cut cut)
{
    static const struct velo_bytes frames[] = {{"abc", 3}, {NULL, 0}};
    struct outcome *outcome = calloc(1, sizeof(*outcome));
    struct velo_zmtp *zmtp = malloc(sizeof(*zmtp));
    outcome->reply = malloc(reply_size);
    int rc = velo_zmtp_begin(zmtp, "LOAD", frames, 2, (const unsigned char *)"12345678",
                             outcome->reply, reply_size);
    require(rc == 0, "a good request begins");
    drain(zmtp, outcome, cut.step);
    size_t size = cut.size;
    for (size_t at = 0; at < count && rc == 0; at += size, size = cut.next) {
        if (size == 0)
            size = 1 + (size_t)random() % 40;
        if (size > count - at)
            size = count - at;
        unsigned char *piece = own(bytes + at, size);
        rc = velo_zmtp_input(zmtp, piece, size);
        free(piece);
        outcome->consumed = at + size;
        drain(zmtp, outcome, cut.step);
    }
    require(rc == 0 || rc == 1 || rc == -EPROTO || rc == -EMSGSIZE, "a known result");
    require(rc != 1 || zmtp->reply_length <= reply_size, "the reply fits its buffer");
    outcome->result = rc;
    outcome->code = zmtp->code;
    outcome->reply_length = zmtp->reply_length;
    free(zmtp);
    return outcome;
}

static void release(struct outcome *outcome)
{
    free(outcome->reply);
    free(outcome);
}

static void require_same(const unsigned char *bytes, size_t count, size_t reply_size,
                         const struct outcome *whole, struct cut cut)
{
    struct outcome *other = converse(bytes, count, reply_size, cut);
    require(other->result == whole->result, "the result does not depend on the cuts");
    if (whole->result == 1)
        require(other->code == whole->code && other->reply_length == whole->reply_length &&
                    memcmp(other->reply, whole->reply, whole->reply_length) == 0,
                "the reply does not depend on the cuts");
    release(other);
}

/* in: reply_size hex      out: result code consumed_when_cut_in_bytes reply said */
static void feed_one(char *line)
{
    const size_t reply_size = strtoul(strtok(line, " \n"), NULL, 10);
    char *text = strtok(NULL, " \n");
    const size_t count = unhex(text);
    const unsigned char *bytes = (const unsigned char *)text;
    const struct cut uncut = {count, count, SIZE_MAX};
    struct outcome *whole = converse(bytes, count, reply_size, uncut);
    for (size_t cut = 1; cut < count; cut += 1 + count / 2000)
        require_same(bytes, count, reply_size, whole, (struct cut){cut, count, SIZE_MAX});
    struct outcome *single = converse(bytes, count, reply_size, (struct cut){1, 1, 1});
    require_same(bytes, count, reply_size, whole, (struct cut){1, 1, 1});
    printf("%d %d %zu ", whole->result, whole->code, single->consumed);
    print_hex(stdout, whole->reply, whole->result == 1 ? whole->reply_length : 0);
    putchar(' ');
    print_hex(stdout, single->said, single->said_length);
    putchar('\n');
    fflush(stdout);
    release(whole);
    release(single);
}

/* A conversation in which every kind of frame appears, and its two ends. */
#define ZERO_31 "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
static const char opening[] =
    "\xff\0\0\0\0\0\0\0\0\x7f\3\1NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0" ZERO_31
    "\4\x29\5READY\13Socket-Type\0\0\0\6ROUTER\10Identity\0\0\0\0"
    "\4\13\4PING\0\144abcd\4\14\11SUBSCRIBEab"
    "\1\5velo1\1\10otheridx\1\2ok\0\4late";
static const char ok_reply[] = "\1\5velo1\1\10"
                               "12345678"
                               "\3\0\0\0\0\0\0\0\2ok"
                               "\1\5hello\3\0\0\0\0\0\0\0\3abc\0\0";
static const char error_reply[] = "\1\5velo1\1\10"
                                  "12345678"
                                  "\1\5error\1\2"
                                  "28"
                                  "\0\12no space\xc3\xa9";

static size_t write_sample(unsigned char *bytes, int is_error)
{
    const size_t open = sizeof(opening) - 1;
    const size_t end = is_error ? sizeof(error_reply) - 1 : sizeof(ok_reply) - 1;
    memcpy(bytes, opening, open);
    memcpy(bytes + open, is_error ? error_reply : ok_reply, end);
    return open + end;
}

static void mutate(unsigned char *bytes, size_t *count)
{
    for (long times = random() % 4; times >= 0; times--) {
        const size_t at = (size_t)random() % *count, length = 1 + (size_t)random() % 8;
        const long kind = random() % 4;
        if (kind == 0)
            bytes[at] = (unsigned char)(1u << random() % 8 ^ bytes[at]);
        else if (kind == 1)
            bytes[at] = (unsigned char)random();
        else if (kind == 2 && at + length < *count) { /* leave some out */
            memmove(bytes + at, bytes + at + length, *count - at - length);
            *count -= length;
        } else if (at + length < *count) { /* end with some again */
            memcpy(bytes + *count, bytes + at, length);
            *count += length;
        }
    }
}

static void fuzz(unsigned seed, long count)
{
    size_t finished = 0;
    srandom(seed);
    for (long round = 0; round < count; round++) {
        unsigned char bytes[1024];
        size_t length = write_sample(bytes, (int)(round % 2));
        if (round > 1)
            mutate(bytes, &length);
        const size_t reply_size = 20 + (size_t)random() % 10;
        const struct cut uncut = {length, length, SIZE_MAX};
        struct outcome *whole = converse(bytes, length, reply_size, uncut);
        require(round > 1 || whole->result == 1, "the sample itself is a whole conversation");
        finished += whole->result == 1;
        require_same(bytes, length, reply_size, whole, (struct cut){1, 1, 3});
        require_same(bytes, length, reply_size, whole, (struct cut){0, 0, SIZE_MAX});
        release(whole);
    }
    printf("%zu finished\n", finished);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*perform)(struct call *);
    } ways[] = {{"ask", perform},
                {"closed", perform_closed},
                {"alarm", perform_alarm},
                {"vfork", perform_vfork},
                {"stack", perform_stack}};
    char *line = NULL;
    size_t room = 0;
    require(argc > 1, "a mode is given");
    if (strcmp(argv[1], "fuzz") == 0 && argc == 4)
        fuzz((unsigned)strtoul(argv[2], NULL, 10), strtol(argv[3], NULL, 10));
    while (strcmp(argv[1], "feed") == 0 && getline(&line, &room, stdin) > 0)
        feed_one(line);
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
        while (strcmp(argv[1], ways[i].name) == 0 && getline(&line, &room, stdin) > 0)
            ask_one(line, ways[i].perform);
    free(line);
    return 0;
}
