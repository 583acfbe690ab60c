/* zmtp.h - ask velo's router one question, over ZeroMQ's own wire protocol.
 *
 * In    the path of the router's socket, a verb, payload frames
 * Out   the reply's frames in the caller's buffer, or a code
 * Never malloc, stdio, threads, errno, SIGPIPE, or a descriptor of 0-2: this runs inside other
 *       people's compilers, between vfork and exec, and in signal handlers.
 *
 * We are a DEALER that speaks ZMTP 3.1 (and so 3.0) with the NULL mechanism over an AF_UNIX
 * stream.  A connection carries one request: connecting costs microseconds, and a descriptor
 * kept open would be one that the host program can close, inherit or count.
 *
 *     -> greeting, READY      <- greeting, READY (or ERROR)
 *     -> "velo1", id, verb, payload...
 *     <- "velo1", id, "ok", payload...       or  "velo1", id, "error", code, message
 *     either way, between messages: PING (answered with PONG), anything else (ignored)
 *
 * Rejected: linking libzmq, which costs 1 ms and two threads per process. */
#ifndef VELO_PRELOAD_ZMTP_H
#define VELO_PRELOAD_ZMTP_H

#include <stddef.h>
#include <stdint.h>

/* One frame of a payload. */
struct velo_bytes {
    const void *data; /* NULL is fine when length is 0 */
    size_t length;    /* bytes */
};

/* One request, one reply, over a fresh connection.  Repeating it is harmless.
 * socket_path    absolute, at most 107 bytes
 * verb           1..VELO_ZMTP_VERB_BYTES_MAX (16) characters
 * timeout_ms     for everything together, connecting included; 0 is -ETIMEDOUT at once
 * reply          at most reply_size bytes are written; NULL with size 0 when only the code counts
 * reply_length   bytes that count in `reply`; untouched when the result is negative
 * returns  0            an ok reply; `reply` is its payload, each frame a native uint32_t length
 *                       and then its bytes
 *          > 0          an error reply's code, 1..9999; `reply` is its message, plain UTF-8
 *                       without a NUL, cut between characters if it is too long
 *          -EINVAL, -ENAMETOOLONG  the arguments; nothing was sent
 *          -ECONNREFUSED           no process listens there, or there is no such socket
 *          -ECONNRESET             the peer left before a whole reply: it may have acted
 *          -ETIMEDOUT              no whole reply in time: it may have acted
 *          -EPROTO                 the peer does not speak ZMTP 3 with NULL, or not our messages
 *          -EMSGSIZE               an ok reply is larger than reply_size; it was acted on
 *          or what socket(2) and connect(2) say: -EMFILE, -EACCES...
 * stack    under 4 KiB
 * locks    none; any thread, any time.  A signal handler that jumps out of here with longjmp
 *          leaks one descriptor, which an exec closes. */
int velo_request(const char *socket_path, const char *verb, const struct velo_bytes *payload,
                 unsigned payload_count, uint32_t timeout_ms, unsigned char *reply,
                 size_t reply_size, size_t *reply_length);

#endif
