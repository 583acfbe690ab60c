/* zmtp.c - one request to the router: the socket, and the one loop with the one deadline.
 *
 * In    velo_request's arguments        Out  its result; the protocol itself is zmtp_codec.c
 * Never a descriptor left open, SIGPIPE, or a wait past the deadline, whatever the peer does.
 *
 * Every call is the kernel's own (sys.h): here connect() and close() may be our wrappers.  Plain
 * blocking descriptors, so that connect can wait; the rest asks with MSG_DONTWAIT after ppoll. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "zmtp.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>

#include "kernel/os.h"
#include "zmtp_codec.h"

/* Time until `deadline_ns`, or 0 when it has passed. */
static int64_t ns_left(int64_t deadline_ns)
{
    const int64_t left = deadline_ns - velo_os_monotonic_ns();
    return left > 0 ? left : 0;
}

/* A stream socket above 2: what a program finds at 0-2 is its standard input and output. */
static int open_socket(void)
{
    const int fd = (int)velo_sys3(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || fd > 2)
        return fd;
    const int moved = (int)velo_sys3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 3);
    velo_sys1(SYS_close, fd);
    return moved;
}

/* Connect before the deadline.  While the listener's backlog is full a non-blocking connect says
 * EAGAIN and offers nothing to wait for; a blocking one waits, for as long as SO_SNDTIMEO. */
static int connect_by(int fd, const struct sockaddr_un *address, int64_t deadline_ns)
{
    long rc;
    do {
        const int64_t left_us = (ns_left(deadline_ns) + 999) / 1000;
        const struct timeval limit = {left_us / 1000000, left_us % 1000000};
        if (left_us == 0) /* which SO_SNDTIMEO takes for "forever" */
            return -ETIMEDOUT;
        rc = velo_sys5(SYS_setsockopt, fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
        if (rc == 0)
            rc = velo_sys3(SYS_connect, fd, address, sizeof(*address));
    } while (rc == -EINTR || rc == -EAGAIN);
    return rc == -ENOENT || rc == -ENOTDIR ? -ECONNREFUSED : (int)rc;
}

/* Send what the socket takes now.  1 some output is left, 0 all said, or -errno. */
static int speak(int fd, struct velo_zmtp *zmtp)
{
    struct iovec pieces[VELO_ZMTP_PIECES_MAX];
    for (;;) {
        const struct msghdr message = {
            .msg_iov = pieces,
            .msg_iovlen = velo_zmtp_output(zmtp, pieces),
        };
        if (message.msg_iovlen == 0)
            return 0;
        const long sent = velo_sys3(SYS_sendmsg, fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent == -EAGAIN)
            return 1;
        if (sent < 0 && sent != -EINTR)
            return (int)sent;
        if (sent > 0)
            velo_zmtp_sent(zmtp, (size_t)sent);
    }
}

/* Wait until the socket has news for us.  0, or -ETIMEDOUT. */
static int wait_for(int fd, short events, int64_t deadline_ns)
{
    for (;;) {
        const int64_t left_ns = ns_left(deadline_ns);
        struct timespec left = {left_ns / 1000000000, left_ns % 1000000000};
        struct pollfd poll = {.fd = fd, .events = events};
        if (left_ns == 0)
            return -ETIMEDOUT;
        const long rc = velo_sys5(SYS_ppoll, &poll, 1, &left, 0, 8);
        if (rc < 0 && rc != -EINTR)
            return (int)rc;
        if (rc > 0)
            return 0;
    }
}

/* Read once.  0 go on, 1 the reply is whole, or -errno. */
static int listen_once(int fd, struct velo_zmtp *zmtp)
{
    unsigned char chunk[1024];
    const long got = velo_sys6(SYS_recvfrom, fd, chunk, sizeof(chunk), MSG_DONTWAIT, 0, 0);
    if (got == -EAGAIN || got == -EINTR)
        return 0;
    if (got <= 0)
        return got == 0 ? -ECONNRESET : (int)got;
    return velo_zmtp_input(zmtp, chunk, (size_t)got);
}

/* Speak and listen until the reply is whole.  A peer that no longer reads may have said why, so
 * we stop speaking and hear it out. */
static int converse(int fd, struct velo_zmtp *zmtp, int64_t deadline_ns)
{
    int is_deaf = 0, rc;
    do {
        const int said = is_deaf ? 0 : speak(fd, zmtp);
        if (said == -EPIPE || said == -ECONNRESET)
            is_deaf = 1;
        else if (said < 0)
            return said;
        rc = wait_for(fd, said > 0 ? POLLIN | POLLOUT : POLLIN, deadline_ns);
        if (rc == 0)
            rc = listen_once(fd, zmtp);
    } while (rc == 0);
    return rc < 0 ? rc : zmtp->code;
}

/* An id that no other request on this machine has just now.  It need not be a secret: it only
 * tells our reply from another's, and the connection is ours alone. */
static void choose_id(unsigned char id[VELO_ZMTP_ID_BYTES])
{
    const uint64_t thread = (uint64_t)velo_sys0(SYS_gettid);
    const uint64_t value = (uint64_t)velo_os_monotonic_ns() ^ thread << 40;
    memcpy(id, &value, VELO_ZMTP_ID_BYTES);
}

int velo_request(const char *socket_path, const char *verb, const struct velo_bytes *payload,
                 unsigned payload_count, uint32_t timeout_ms, unsigned char *reply,
                 size_t reply_size, size_t *reply_length)
{
    const int64_t deadline_ns = velo_os_monotonic_ns() + (int64_t)timeout_ms * 1000000;
    const size_t path_length = strlen(socket_path);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct velo_zmtp zmtp;
    unsigned char id[VELO_ZMTP_ID_BYTES];
    if (path_length == 0)
        return -EINVAL;
    if (path_length >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    memcpy(address.sun_path, socket_path, path_length);
    choose_id(id);
    int rc = velo_zmtp_begin(&zmtp, verb, payload, payload_count, id, reply, reply_size);
    if (rc != 0)
        return rc;
    const int fd = open_socket();
    if (fd < 0)
        return fd;
    rc = connect_by(fd, &address, deadline_ns);
    if (rc == 0)
        rc = converse(fd, &zmtp, deadline_ns);
    velo_sys1(SYS_close, fd);
    if (rc >= 0)
        *reply_length = zmtp.reply_length;
    return rc;
}
