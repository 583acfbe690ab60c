/* zmtp_codec.h - the protocol without a socket: what velo_request turns, and fuzzers feed.
 *
 * In    one request; then whatever bytes the peer said, torn anywhere
 * Out   bytes to send; then the reply in the caller's buffer
 * Never a system call, a clock, or a byte outside `reply` and the struct.
 *
 *     velo_zmtp_begin -> { velo_zmtp_output, velo_zmtp_sent, velo_zmtp_input }... -> 1 or -errno
 *
 * The answer depends on the peer's bytes alone, not on how they were cut or when we sent ours. */
#ifndef VELO_PRELOAD_ZMTP_CODEC_H
#define VELO_PRELOAD_ZMTP_CODEC_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "zmtp.h"

enum {
    VELO_ZMTP_VERB_BYTES_MAX = 16,
    VELO_ZMTP_ID_BYTES = 8,
    VELO_ZMTP_GREETING_BYTES = 64,
    VELO_ZMTP_COMMAND_BYTES_MAX = 65536, /* a longer command is an attack, not metadata */
    VELO_ZMTP_NOISE_FRAMES_MAX = 4096,   /* commands and foreign frames until we give up */
    VELO_ZMTP_PAYLOAD_BATCH = 8,         /* payload frames per sendmsg */
    VELO_ZMTP_PIECES_MAX = 1 + 2 * VELO_ZMTP_PAYLOAD_BATCH,
};

/* One conversation.  Filled by velo_zmtp_begin; private to zmtp.c after that, except `code` and
 * `reply_length`, which hold once velo_zmtp_input has returned 1. */
struct velo_zmtp {
    /* What is left to say: `out`, then payload frames straight from the caller's memory. */
    const struct velo_bytes *payload;
    unsigned payload_count;
    unsigned payload_next;  /* first frame not wholly sent */
    size_t payload_sent;    /* bytes of it that were, its head included */
    unsigned out_start, out_end;
    unsigned verb_length;
    unsigned char verb[VELO_ZMTP_VERB_BYTES_MAX];
    unsigned char id[VELO_ZMTP_ID_BYTES];
    unsigned char out[256];   /* greeting and READY; later the request's head, or a PONG */
    unsigned char heads[VELO_ZMTP_PAYLOAD_BATCH][9];
    unsigned char pong[32];   /* waits for a place between messages; one is enough */
    unsigned pong_length;     /* 0: none waits */

    /* Where we are in what the peer says. */
    unsigned phase;      /* enum phase: greeting, head or body of a frame */
    unsigned part;       /* enum part: what the current message frame is to us */
    unsigned is_ready;   /* the peer's READY came: messages may flow */
    unsigned noise;      /* frames so far that were not our reply */
    unsigned got;        /* bytes of the greeting or of the frame's head so far */
    unsigned char head[9];
    uint64_t body_size;  /* of the current frame */
    uint64_t body_got;
    unsigned char kept[256]; /* the body's beginning, of frames that we judge as a whole */

    unsigned char *reply;
    size_t reply_size, reply_length;
    int code; /* 0 for ok, else the error reply's */
};

/* Start a conversation; the pointers must live as long as it does. 0, or -EINVAL. */
int velo_zmtp_begin(struct velo_zmtp *zmtp, const char *verb, const struct velo_bytes *payload,
                    unsigned payload_count, const unsigned char id[VELO_ZMTP_ID_BYTES],
                    unsigned char *reply, size_t reply_size);
/* What to send now, in order; returns how many pieces, 0 when it is the peer's turn. */
unsigned velo_zmtp_output(struct velo_zmtp *zmtp, struct iovec pieces[VELO_ZMTP_PIECES_MAX]);
/* The first `count` bytes of that output are on their way. */
void velo_zmtp_sent(struct velo_zmtp *zmtp, size_t count);
/* The peer said this; torn anywhere.  0 go on, 1 the reply is whole, or -EPROTO, -EMSGSIZE. */
int velo_zmtp_input(struct velo_zmtp *zmtp, const unsigned char *bytes, size_t count);

#endif
