/* zmtp_codec.c - ZMTP 3.1 and velo's messages, as a pure state machine.
 *
 * Z1  Nothing the peer says makes us write outside `reply`, or keep more than one struct
 *     velo_zmtp: bodies that we do not need are counted and dropped.
 * Z2  Each frame is judged as soon as it can be: a wrong signature, a length of 2^63 or a reply
 *     that cannot fit fails at that byte, not at the deadline.
 * Z3  Our request goes out after the peer's READY: libzmq takes a message that arrives before
 *     it has sent its own READY for a broken handshake.  Greeting and READY go out together. */
#include "zmtp_codec.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum { FLAG_MORE = 1, FLAG_LONG = 2, FLAG_COMMAND = 4, FLAGS_KNOWN = 7, FLAG_MORE_COMMAND = 5 };

/* greeting -64 bytes-> head -2 or 9 bytes-> body -its size-> head -> ... */
enum phase { PHASE_GREETING = 0, PHASE_HEAD, PHASE_BODY };

/* magic -> id -> status -> payload...  or  status -> code -> message; foreign until MORE is 0. */
enum part {
    PART_MAGIC = 0,
    PART_ID,
    PART_STATUS,
    PART_PAYLOAD,
    PART_CODE,
    PART_MESSAGE,
    PART_FOREIGN,
};

static const char magic[5] = {'v', 'e', 'l', 'o', '1'};

#define READY_BODY "\5READY\13Socket-Type\0\0\0\6DEALER"
enum { READY_BYTES = sizeof(READY_BODY) - 1 };

/* Signature, version 3.1, mechanism NULL in 20 bytes, as-server 0, 31 bytes of filler. */
static const unsigned char greeting[VELO_ZMTP_GREETING_BYTES] = {
    0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 3, 1, 'N', 'U', 'L', 'L',
};

static_assert(VELO_ZMTP_GREETING_BYTES + 2 + READY_BYTES + /* all that can be in `out` at once */
                      2 + sizeof(magic) + 2 + VELO_ZMTP_ID_BYTES + 2 + VELO_ZMTP_VERB_BYTES_MAX <=
                  sizeof(((struct velo_zmtp *)0)->out),
              "the handshake and a request's head fit together");
static_assert(sizeof(struct velo_zmtp) <= 1024, "four of these are our whole stack");

/* ---- what we say ---------------------------------------------------------------------------- */

static void say(struct velo_zmtp *zmtp, const void *bytes, size_t count)
{
    memcpy(zmtp->out + zmtp->out_end, bytes, count);
    zmtp->out_end += (unsigned)count;
}

static void say_short_frame(struct velo_zmtp *zmtp, unsigned flags, const void *body, size_t count)
{
    const unsigned char head[2] = {(unsigned char)flags, (unsigned char)count};
    say(zmtp, head, sizeof(head));
    say(zmtp, body, count);
}

static void say_request_head(struct velo_zmtp *zmtp)
{
    say_short_frame(zmtp, FLAG_MORE, magic, sizeof(magic));
    say_short_frame(zmtp, FLAG_MORE, zmtp->id, sizeof(zmtp->id));
    say_short_frame(zmtp, zmtp->payload_count > 0 ? FLAG_MORE : 0, zmtp->verb, zmtp->verb_length);
}

/* The head of payload frame `index`; returns its size. */
static size_t frame_head(const struct velo_zmtp *zmtp, unsigned index, unsigned char head[9])
{
    const uint64_t length = zmtp->payload[index].length;
    const unsigned more = index + 1 < zmtp->payload_count ? FLAG_MORE : 0;
    if (length <= 255) {
        head[0] = (unsigned char)more;
        head[1] = (unsigned char)length;
        return 2;
    }
    head[0] = (unsigned char)(more | FLAG_LONG);
    for (unsigned i = 0; i < 8; i++)
        head[1 + i] = (unsigned char)(length >> (56 - 8 * i));
    return 9;
}

int velo_zmtp_begin(struct velo_zmtp *zmtp, const char *verb, const struct velo_bytes *payload,
                    unsigned payload_count, const unsigned char id[VELO_ZMTP_ID_BYTES],
                    unsigned char *reply, size_t reply_size)
{
    const size_t verb_length = strlen(verb);
    if (verb_length == 0 || verb_length > VELO_ZMTP_VERB_BYTES_MAX)
        return -EINVAL;
    memset(zmtp, 0, sizeof(*zmtp));
    zmtp->payload = payload;
    zmtp->payload_count = payload_count;
    zmtp->verb_length = (unsigned)verb_length;
    memcpy(zmtp->verb, verb, verb_length);
    memcpy(zmtp->id, id, sizeof(zmtp->id));
    zmtp->reply = reply;
    zmtp->reply_size = reply_size;
    say(zmtp, greeting, sizeof(greeting));
    say_short_frame(zmtp, FLAG_COMMAND, READY_BODY, READY_BYTES);
    return 0;
}

/* Payload frames follow only the request's head; until then there are none to send. */
static int in_request(const struct velo_zmtp *zmtp)
{
    return zmtp->is_ready && zmtp->payload_next < zmtp->payload_count;
}

static unsigned add_piece(struct iovec *piece, const void *data, size_t length)
{
    if (length == 0)
        return 0;
    piece->iov_base = (void *)(uintptr_t)data; /* sendmsg only reads it */
    piece->iov_len = length;
    return 1;
}

/* The pieces of the `i`th unsent payload frame, without its first `skip` bytes. */
static unsigned add_frame(struct velo_zmtp *zmtp, unsigned i, size_t skip, struct iovec pieces[2])
{
    const struct velo_bytes *body = &zmtp->payload[zmtp->payload_next + i];
    const size_t head = frame_head(zmtp, zmtp->payload_next + i, zmtp->heads[i]);
    const size_t head_skip = skip < head ? skip : head;
    const size_t body_skip = skip - head_skip;
    unsigned count = add_piece(&pieces[0], zmtp->heads[i] + head_skip, head - head_skip);
    if (body->length > body_skip)
        count += add_piece(&pieces[count], (const unsigned char *)body->data + body_skip,
                           body->length - body_skip);
    return count;
}

unsigned velo_zmtp_output(struct velo_zmtp *zmtp, struct iovec pieces[VELO_ZMTP_PIECES_MAX])
{
    if (zmtp->pong_length > 0 && zmtp->out_start == zmtp->out_end && !in_request(zmtp)) {
        zmtp->out_start = zmtp->out_end = 0;
        say(zmtp, zmtp->pong, zmtp->pong_length);
        zmtp->pong_length = 0;
    }
    unsigned count =
        add_piece(&pieces[0], zmtp->out + zmtp->out_start, zmtp->out_end - zmtp->out_start);
    size_t skip = zmtp->payload_sent;
    if (in_request(zmtp))
        for (unsigned i = 0; i < VELO_ZMTP_PAYLOAD_BATCH; i++, skip = 0)
            if (zmtp->payload_next + i < zmtp->payload_count)
                count += add_frame(zmtp, i, skip, &pieces[count]);
    return count;
}

void velo_zmtp_sent(struct velo_zmtp *zmtp, size_t count)
{
    const size_t out = zmtp->out_end - zmtp->out_start;
    const size_t from_out = count < out ? count : out;
    zmtp->out_start += (unsigned)from_out;
    zmtp->payload_sent += count - from_out;
    while (in_request(zmtp)) {
        unsigned char head[9];
        const size_t whole =
            frame_head(zmtp, zmtp->payload_next, head) + zmtp->payload[zmtp->payload_next].length;
        if (zmtp->payload_sent < whole)
            return;
        zmtp->payload_sent -= whole;
        zmtp->payload_next++;
    }
}

/* ---- what the peer says --------------------------------------------------------------------- */

/* Byte `index` of a greeting that we can talk to: signature, version 3 or later, NULL.  A later
 * major version must come down to ours; as-server, filler and the signature's padding are free. */
static int greeting_byte_is_good(unsigned index, unsigned char byte)
{
    if (index == 0 || index == 9 || (index >= 12 && index < 32))
        return byte == greeting[index];
    return index != 10 || byte >= 3;
}

static int take_greeting_byte(struct velo_zmtp *zmtp, unsigned char byte)
{
    if (!greeting_byte_is_good(zmtp->got, byte))
        return -EPROTO;
    if (++zmtp->got == VELO_ZMTP_GREETING_BYTES) {
        zmtp->got = 0;
        zmtp->phase = PHASE_HEAD;
    }
    return 0;
}

/* Does `kept` hold a command of this name?  The name's length is its own first byte. */
static int command_is(const struct velo_zmtp *zmtp, const char *name, size_t length)
{
    return zmtp->body_size >= length && memcmp(zmtp->kept, name, length) == 0;
}
#define COMMAND_IS(zmtp, name) command_is(zmtp, name, sizeof(name) - 1)

static int is_socket_type(const unsigned char *name, size_t length)
{
    static const char wanted[] = "socket-type";
    if (length != sizeof(wanted) - 1)
        return 0;
    for (size_t i = 0; i < length; i++)
        if ((name[i] | 0x20) != wanted[i]) /* ZMTP: property names ignore case */
            return 0;
    return 1;
}

static int serves_dealers(const unsigned char *type, size_t length)
{
    return (length == 6 && (memcmp(type, "ROUTER", 6) == 0 || memcmp(type, "DEALER", 6) == 0)) ||
           (length == 3 && memcmp(type, "REP", 3) == 0);
}

/* READY's properties: name length, name, 4 bytes of value length, value.  Only the socket type
 * matters; what lies beyond `kept` is a stranger's metadata and is taken on trust. */
static int check_properties(const struct velo_zmtp *zmtp, size_t at)
{
    const unsigned char *kept = zmtp->kept;
    const size_t kept_end =
        zmtp->body_size < sizeof(zmtp->kept) ? (size_t)zmtp->body_size : sizeof(zmtp->kept);
    while (at < zmtp->body_size) {
        if (at >= kept_end)
            return 0;
        const size_t name = at + 1, size = name + kept[at], value = size + 4;
        if (value > zmtp->body_size)
            return -EPROTO;
        if (value > kept_end)
            return 0;
        const size_t value_length = (size_t)kept[size] << 24 | (size_t)kept[size + 1] << 16 |
                                    (size_t)kept[size + 2] << 8 | kept[size + 3];
        at = value + value_length;
        if (at > zmtp->body_size)
            return -EPROTO;
        if (is_socket_type(kept + name, size - name) && at <= kept_end &&
            !serves_dealers(kept + value, value_length))
            return -EPROTO;
    }
    return 0;
}

static int end_handshake_command(struct velo_zmtp *zmtp)
{
    if (!COMMAND_IS(zmtp, "\5READY"))
        return 0;
    const int rc = check_properties(zmtp, sizeof("\5READY") - 1);
    if (rc != 0)
        return rc;
    zmtp->is_ready = 1;
    say_request_head(zmtp);
    return 0;
}

/* PING: 2 bytes of time-to-live, up to 16 of context, which PONG gives back.  While a PONG waits,
 * further PINGs need none: any traffic keeps us alive. */
static void answer_ping(struct velo_zmtp *zmtp)
{
    enum { TAKE = 5 + 2, CONTEXT_MAX = 16 };
    if (zmtp->pong_length > 0)
        return;
    size_t context = (size_t)zmtp->body_size - TAKE;
    if (context > CONTEXT_MAX)
        context = CONTEXT_MAX;
    zmtp->pong[0] = FLAG_COMMAND;
    zmtp->pong[1] = (unsigned char)(5 + context);
    memcpy(zmtp->pong + 2, "\4PONG", 5);
    memcpy(zmtp->pong + 7, zmtp->kept + TAKE, context);
    zmtp->pong_length = (unsigned)(7 + context);
}

/* ERROR is the peer's last word.  SUBSCRIBE, CANCEL, PONG and what may be invented: not for us. */
static int end_command(struct velo_zmtp *zmtp)
{
    if (zmtp->body_size == 0 || COMMAND_IS(zmtp, "\5ERROR"))
        return -EPROTO;
    if (!zmtp->is_ready)
        return end_handshake_command(zmtp);
    if (COMMAND_IS(zmtp, "\4PING")) {
        if (zmtp->body_size < 5 + 2)
            return -EPROTO;
        answer_ping(zmtp);
    }
    return 0;
}

static int kept_is(const struct velo_zmtp *zmtp, const void *wanted, size_t length)
{
    return zmtp->body_size == length && memcmp(zmtp->kept, wanted, length) == 0;
}

/* An error reply's code, 1..9999 in ASCII, or -EPROTO. */
static int parse_code(const struct velo_zmtp *zmtp)
{
    int code = 0;
    if (zmtp->body_size > 4)
        return -EPROTO;
    for (size_t i = 0; i < zmtp->body_size; i++) {
        if (zmtp->kept[i] < '0' || zmtp->kept[i] > '9')
            return -EPROTO;
        code = code * 10 + (zmtp->kept[i] - '0');
    }
    return code > 0 ? code : -EPROTO;
}

/* A message that was cut to fit ends between two characters. */
static void cut_message(struct velo_zmtp *zmtp)
{
    if (zmtp->body_size <= zmtp->reply_size)
        return;
    /* kept[0] is the first byte that did not fit. */
    unsigned char next = zmtp->kept[0];
    while (zmtp->reply_length > 0 && (next & 0xc0) == 0x80)
        next = zmtp->reply[--zmtp->reply_length];
}

/* The frame is whole.  0 go on, 1 the reply is whole, or -EPROTO. */
static int end_message_frame(struct velo_zmtp *zmtp, int more)
{
    switch ((enum part)zmtp->part) {
    case PART_MAGIC:
        zmtp->part = kept_is(zmtp, magic, sizeof(magic)) ? PART_ID : PART_FOREIGN;
        break;
    case PART_ID:
        zmtp->part = kept_is(zmtp, zmtp->id, sizeof(zmtp->id)) ? PART_STATUS : PART_FOREIGN;
        if (zmtp->part == PART_STATUS && !more)
            return -EPROTO;
        break;
    case PART_STATUS:
        if (kept_is(zmtp, "ok", 2)) {
            zmtp->part = PART_PAYLOAD;
            return !more;
        }
        zmtp->part = PART_CODE;
        return more && kept_is(zmtp, "error", 5) ? 0 : -EPROTO;
    case PART_PAYLOAD:
        return !more;
    case PART_CODE:
        zmtp->part = PART_MESSAGE;
        zmtp->code = parse_code(zmtp);
        return more && zmtp->code > 0 ? 0 : -EPROTO;
    case PART_MESSAGE:
        cut_message(zmtp);
        return more ? -EPROTO : 1;
    case PART_FOREIGN:
        break;
    }
    if (!more)
        zmtp->part = PART_MAGIC;
    return 0;
}

static int end_frame(struct velo_zmtp *zmtp)
{
    zmtp->phase = PHASE_HEAD;
    zmtp->got = 0;
    if (zmtp->head[0] & FLAG_COMMAND)
        return end_command(zmtp);
    return end_message_frame(zmtp, zmtp->head[0] & FLAG_MORE);
}

/* Room for one more frame of the reply: its length now, its bytes as they come. */
static int begin_payload(struct velo_zmtp *zmtp)
{
    const size_t room = zmtp->reply_size - zmtp->reply_length;
    const uint32_t length = (uint32_t)zmtp->body_size;
    if (zmtp->body_size > UINT32_MAX || room < sizeof(length) ||
        room - sizeof(length) < zmtp->body_size)
        return -EMSGSIZE;
    memcpy(zmtp->reply + zmtp->reply_length, &length, sizeof(length));
    zmtp->reply_length += sizeof(length);
    return 0;
}

static int begin_frame(struct velo_zmtp *zmtp)
{
    const int is_command = zmtp->head[0] & FLAG_COMMAND;
    zmtp->body_got = 0;
    zmtp->phase = PHASE_BODY;
    if (zmtp->body_size > INT64_MAX)
        return -EPROTO;
    if (!is_command && !zmtp->is_ready)
        return -EPROTO;
    if (is_command && zmtp->body_size > VELO_ZMTP_COMMAND_BYTES_MAX)
        return -EPROTO;
    if (!is_command && zmtp->part == PART_PAYLOAD)
        return begin_payload(zmtp);
    return ++zmtp->noise > VELO_ZMTP_NOISE_FRAMES_MAX ? -EPROTO : 0;
}

static int take_head_byte(struct velo_zmtp *zmtp, unsigned char byte)
{
    zmtp->head[zmtp->got++] = byte;
    const unsigned flags = zmtp->head[0];
    if ((flags & ~(unsigned)FLAGS_KNOWN) != 0 || (flags & FLAG_MORE_COMMAND) == FLAG_MORE_COMMAND)
        return -EPROTO;
    const unsigned whole = flags & FLAG_LONG ? 9 : 2;
    if (zmtp->got < whole)
        return 0;
    zmtp->body_size = 0;
    for (unsigned i = 1; i < whole; i++)
        zmtp->body_size = zmtp->body_size << 8 | zmtp->head[i];
    const int rc = begin_frame(zmtp);
    return rc == 0 && zmtp->body_size == 0 ? end_frame(zmtp) : rc;
}

/* Some bytes of the body to where its part lives: `reply`, or `kept` as far as that goes. */
static void keep_body(struct velo_zmtp *zmtp, const unsigned char *bytes, size_t count)
{
    const int is_text = !(zmtp->head[0] & FLAG_COMMAND) &&
                        (zmtp->part == PART_PAYLOAD || zmtp->part == PART_MESSAGE);
    if (is_text) {
        const size_t room = zmtp->reply_size - zmtp->reply_length;
        const size_t fits = count < room ? count : room;
        if (fits > 0)
            memcpy(zmtp->reply + zmtp->reply_length, bytes, fits);
        zmtp->reply_length += fits;
        if (fits < count && zmtp->body_got <= zmtp->reply_size)
            zmtp->kept[0] = bytes[fits]; /* for cut_message */
        return;
    }
    if (zmtp->body_got < sizeof(zmtp->kept)) {
        const size_t room = sizeof(zmtp->kept) - (size_t)zmtp->body_got;
        memcpy(zmtp->kept + zmtp->body_got, bytes, count < room ? count : room);
    }
}

static int take_body(struct velo_zmtp *zmtp, const unsigned char *bytes, size_t count, size_t *used)
{
    const uint64_t left = zmtp->body_size - zmtp->body_got;
    *used = count < left ? count : (size_t)left;
    keep_body(zmtp, bytes, *used);
    zmtp->body_got += *used;
    return zmtp->body_got == zmtp->body_size ? end_frame(zmtp) : 0;
}

int velo_zmtp_input(struct velo_zmtp *zmtp, const unsigned char *bytes, size_t count)
{
    int rc = 0;
    for (size_t at = 0, used; at < count && rc == 0; at += used) {
        used = 1;
        if (zmtp->phase == PHASE_GREETING)
            rc = take_greeting_byte(zmtp, bytes[at]);
        else if (zmtp->phase == PHASE_HEAD)
            rc = take_head_byte(zmtp, bytes[at]);
        else
            rc = take_body(zmtp, bytes + at, count - at, &used);
    }
    return rc;
}
