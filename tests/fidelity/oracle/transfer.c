/* transfer.c - bytes and descriptors that move: dup, pipes, copies in the kernel, passing. */
#include "oracle.h"

#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static void op_dup(struct context *c, char **a)
{
    say_fd(c, a[0], dup(fd_of(c, a[1])));
}

/* dup3 SLOT FROM FLAGS: onto the slot's own number. */
static void op_dup3(struct context *c, char **a)
{
    const int to = c->fds[slot_of(a[0], SLOTS)];
    const int flags = (int)number(a[2]);
    say_result(
        c, (flags == 0 ? dup2(fd_of(c, a[1]), to) : dup3(fd_of(c, a[1]), to, flags)) < 0 ? -1 : 0);
}

/* redirect NUMBER SLOT: a standard stream, as a shell does. */
static void op_redirect(struct context *c, char **a)
{
    say_result(c, dup2(fd_of(c, a[1]), (int)number(a[0])));
}

static void op_pipe(struct context *c, char **a)
{
    int ends[2];
    if (pipe2(ends, O_NONBLOCK) != 0) {
        say_result(c, -1);
        return;
    }
    say_fd(c, a[0], ends[0]);
    say_fd(c, a[1], ends[1]);
}

/* An offset word: `-` is none. */
static off_t *offset_of(const char *word, off_t *room)
{
    *room = strcmp(word, "-") == 0 ? 0 : number(word);
    return strcmp(word, "-") == 0 ? NULL : room;
}

static void op_copy_file_range(struct context *c, char **a)
{
    off_t from, to;
    off_t *from_at = offset_of(a[1], &from), *to_at = offset_of(a[3], &to);
    say_result(c, copy_file_range(fd_of(c, a[0]), from_at, fd_of(c, a[2]), to_at,
                                  (size_t)number(a[4]), 0));
    say(c, " %ld %ld", (long)from, (long)to);
}

static void op_sendfile(struct context *c, char **a)
{
    off_t from;
    struct stat in, out;
    /* Into itself: what the later pages are by then is the file system's choice. */
    if (fstat(fd_of(c, a[0]), &out) == 0 && fstat(fd_of(c, a[1]), &in) == 0 &&
        in.st_ino == out.st_ino) {
        say(c, " itself");
        return;
    }
    off_t *from_at = offset_of(a[2], &from);
    say_result(c, sendfile(fd_of(c, a[0]), fd_of(c, a[1]), from_at, (size_t)number(a[3])));
    say(c, " %ld", (long)from);
}

static void op_splice(struct context *c, char **a)
{
    off_t from, to;
    off_t *from_at = offset_of(a[1], &from), *to_at = offset_of(a[3], &to);
    say_result(c, splice(fd_of(c, a[0]), from_at, fd_of(c, a[2]), to_at, (size_t)number(a[4]),
                         SPLICE_F_NONBLOCK));
}

static void op_ioctl(struct context *c, char **a)
{
    /* FICLONE takes a descriptor as its argument, the others a place for their answer. */
    long answer = 0;
    const unsigned long request = (unsigned long)number(a[1]);
    const int other = fd_of(c, a[2]);
    const int rc = other >= 0 ? ioctl(fd_of(c, a[0]), request, other)
                              : ioctl(fd_of(c, a[0]), request, &answer);
    say_result(c, rc);
    say(c, " %ld", answer);
}

/* pass SLOT FROM: through a socket, as to another process; shares the offset with FROM. */
static void op_pass(struct context *c, char **a)
{
    int ends[2], received = -1;
    union {
        char room[CMSG_SPACE(sizeof(int))];
        struct cmsghdr aligned;
    } control = {0};
    char byte = 'x';
    struct iovec one = {&byte, 1};
    struct msghdr message = {.msg_iov = &one,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = sizeof control.room};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    const int sent = fd_of(c, a[1]);
    memcpy(CMSG_DATA(header), &sent, sizeof sent);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) {
        say_result(c, -1);
        return;
    }
    int rc = sendmsg(ends[0], &message, 0) == 1 ? 0 : -1;
    if (rc == 0 && recvmsg(ends[1], &message, 0) == 1 && CMSG_FIRSTHDR(&message) != NULL)
        memcpy(&received, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof received);
    const int code = errno;
    close(ends[0]);
    close(ends[1]);
    errno = code;
    if (rc != 0)
        say_result(c, rc);
    else
        say_fd(c, a[0], received);
}

/* openfd SLOT FROM FLAGS: the file behind a descriptor once more, by its name under /proc. */
static void op_openfd(struct context *c, char **a)
{
    char path[64];
    struct stat st;
    int flags = (int)number(a[2]);
    if (fstat(fd_of(c, a[1]), &st) == 0 && S_ISFIFO(st.st_mode)) /* who reads it later would wait */
        flags |= O_NONBLOCK;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd_of(c, a[1]));
    say_fd(c, a[0], open(path, flags, 0600));
}

const struct operation_name transfer_operations[] = {
    {"dup", 2, op_dup},
    {"dup3", 3, op_dup3},
    {"redirect", 2, op_redirect},
    {"pipe", 2, op_pipe},
    {"copy_file_range", 5, op_copy_file_range},
    {"sendfile", 4, op_sendfile},
    {"splice", 5, op_splice},
    {"ioctl", 3, op_ioctl},
    {"pass", 2, op_pass},
    {"openfd", 3, op_openfd},
    {NULL, 0, NULL},
};
