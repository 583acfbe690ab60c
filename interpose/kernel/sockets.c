/* sockets.c - what the kernel tells of sockets and of the processes that have them, as text of /proc.
 *
 * Tables of /proc/net are read to their end; where that takes long, netlink is asked first. */
#include "sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "os.h"
#include "text.h"

#define BLOCK_BYTES 32768u
#define LINE_BYTES 512u
#define WAITING_TCP 0x0a /* TCP_LISTEN */
#define WAITING_UDP 0x07 /* TCP_CLOSE: not connected */

/* One line of a table: 0 to go on. */
typedef int (*each_line)(void *context, const char *line);

/* Calls `each` for all lines but the first; a longer line than fits is cut. The last answer, or -errno. Its memory is
 * mapped, since the caller may have a small stack. */
static int read_table(const char *path, each_line each, void *context)
{
    const int fd = velo_os_open(path, O_RDONLY | O_CLOEXEC, 0);
    char *block = fd < 0 ? NULL : velo_os_memory(BLOCK_BYTES + LINE_BYTES);
    size_t kept = 0;
    int rc = fd < 0 ? fd : block == NULL ? -ENOMEM : 0, lines = 0;
    while (rc == 0) {
        const long got = velo_sys3(SYS_read, fd, velo_word(block + kept), BLOCK_BYTES);
        if (got <= 0)
            break;
        char *line = block, *const end = block + kept + got;
        for (char *stop; rc == 0 && (stop = memchr(line, '\n', (size_t)(end - line))) != NULL;
             line = stop + 1) {
            *stop = 0;
            rc = lines++ == 0 ? 0 : each(context, line);
        }
        kept = (size_t)(end - line) < LINE_BYTES ? (size_t)(end - line) : LINE_BYTES;
        memmove(block, line, kept);
    }
    if (fd >= 0)
        velo_os_close(fd);
    if (block != NULL)
        velo_os_unmap(block, BLOCK_BYTES + LINE_BYTES);
    return rc;
}

/* The `index`th word of a line, from 0. */
static const char *word_of(const char *line, unsigned index)
{
    for (;; index--) {
        while (*line == ' ')
            line++;
        if (index == 0 || *line == 0)
            return line;
        while (*line != ' ' && *line != 0)
            line++;
    }
}

static uint64_t number_of(const char *text, unsigned base)
{
    uint64_t value = 0;
    for (;; text++) {
        const unsigned digit = *text >= '0' && *text <= '9'   ? (unsigned)(*text - '0')
                               : *text >= 'A' && *text <= 'F' ? (unsigned)(*text - 'A') + 10
                                                              : 16;
        if (digit >= base)
            return value;
        value = value * base + digit;
    }
}

/* ---- one inode ------------------------------------------------------------------------------- */

struct wanted {
    uint64_t inode;
    unsigned word; /* of a line, that is the inode */
};

static int is_wanted(void *context, const char *line)
{
    const struct wanted *wanted = context;
    return number_of(word_of(line, wanted->word), 10) == wanted->inode;
}

int velo_socket_exists(uint64_t inode)
{
    static const char *const inet[] = {"/proc/self/net/tcp", "/proc/self/net/tcp6",
                                       "/proc/self/net/udp", "/proc/self/net/udp6"};
    struct wanted wanted = {inode, 6};
    int rc = read_table("/proc/self/net/unix", is_wanted, &wanted);
    wanted.word = 9;
    for (size_t i = 0; rc == 0 && i < sizeof inet / sizeof inet[0]; i++) {
        rc = read_table(inet[i], is_wanted, &wanted);
        rc = rc == -ENOENT ? 0 : rc; /* a machine without IPv6 */
    }
    return rc != 0;
}

/* ---- sockets that wait at a port ------------------------------------------------------------- */

struct port {
    unsigned port, state;
    void (*each)(void *context, uint64_t inode);
    void *context;
    int count;
};

/* Netlink tells of waiting sockets alone, in 20 us. The text tells of all connections, and walks a table of
 * half a million places for them: 1.5 ms. -errno: the kernel was built without. */
static int ask_netlink(int fd, unsigned char family, int datagrams, struct port *port)
{
    struct {
        struct nlmsghdr head;
        struct inet_diag_req_v2 ask;
    } request = {
        {sizeof request, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, 1, 0},
        {.sdiag_family = family,
         .sdiag_protocol = datagrams ? IPPROTO_UDP : IPPROTO_TCP,
         .idiag_states = 1u << port->state,
         .id.idiag_sport = htons((uint16_t)port->port)},
    };
    char answer[4096] __attribute__((aligned(8)));
    long got = velo_sys6(SYS_sendto, fd, velo_word(&request), sizeof request, 0, 0, 0);
    while (got > 0) {
        got = velo_sys6(SYS_recvfrom, fd, velo_word(answer), sizeof answer, MSG_TRUNC, 0, 0);
        if (got > (long)sizeof answer) /* large pages make large answers */
            return -EMSGSIZE;
        long left = got;
        for (const struct nlmsghdr *at = (const void *)answer;
             left > 0 && NLMSG_OK(at, (unsigned)left);
             at = (const void *)((const char *)at + NLMSG_ALIGN(at->nlmsg_len)),
                                   left = got - ((const char *)at - answer)) {
            if (at->nlmsg_type == NLMSG_DONE)
                return 0;
            if (at->nlmsg_type == NLMSG_ERROR)
                return ((const struct nlmsgerr *)NLMSG_DATA(at))->error;
            const struct inet_diag_msg *is = NLMSG_DATA(at);
            if (is->id.idiag_sport != htons((uint16_t)port->port))
                continue;
            port->count++;
            port->each(port->context, is->idiag_inode);
        }
    }
    return got < 0 ? (int)got : -EIO;
}

static int see_port(void *context, const char *line)
{
    struct port *port = context;
    const char *local = word_of(line, 1);
    while (*local != ':' && *local != 0)
        local++;
    if (*local == 0 || number_of(local + 1, 16) != port->port ||
        number_of(word_of(line, 3), 16) != port->state)
        return 0;
    port->count++;
    port->each(port->context, number_of(word_of(line, 9), 10));
    return 0;
}

int velo_sockets_at(unsigned number, int datagrams, void (*each)(void *context, uint64_t inode),
                    void *context)
{
    struct port port = {number, datagrams ? WAITING_UDP : WAITING_TCP, each, context, 0};
    const int fd =
        (int)velo_sys3(SYS_socket, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    int rc = fd < 0 ? fd : ask_netlink(fd, AF_INET, datagrams, &port);
    if (rc == 0)
        rc = ask_netlink(fd, AF_INET6, datagrams, &port);
    if (fd >= 0)
        velo_os_close(fd);
    if (rc == 0)
        return port.count;
    port.count = 0; /* as far as it came */
    rc = read_table(datagrams ? "/proc/self/net/udp" : "/proc/self/net/tcp", see_port, &port);
    read_table(datagrams ? "/proc/self/net/udp6" : "/proc/self/net/tcp6", see_port, &port);
    return rc < 0 ? rc : port.count;
}

/* ---- between two ports ----------------------------------------------------------------------- */

static unsigned char write_address(const struct sockaddr *any, __be32 address[4], __be16 *port)
{
    const struct sockaddr_in *in = (const void *)any;
    const struct sockaddr_in6 *in6 = (const void *)any;
    *port = in->sin_port; /* in6 has it at the same place */
    if (any->sa_family == AF_INET)
        address[0] = in->sin_addr.s_addr;
    else if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
        memcpy(address, in6->sin6_addr.s6_addr + 12, 4);
    else
        memcpy(address, &in6->sin6_addr, 16);
    return any->sa_family == AF_INET || IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr) ? AF_INET : AF_INET6;
}

struct pair {
    unsigned theirs, ours; /* ports */
    uint64_t inode;
};

static int see_pair(void *context, const char *line)
{
    struct pair *pair = context;
    const char *from = strchr(word_of(line, 1), ':'), *to = strchr(word_of(line, 2), ':');
    if (from != NULL && to != NULL && number_of(from + 1, 16) == pair->theirs &&
        number_of(to + 1, 16) == pair->ours)
        pair->inode = number_of(word_of(line, 9), 10);
    return pair->inode != 0;
}

/* The inode, 0, or -1: the kernel was built without. */
static int64_t ask_between(struct inet_diag_req_v2 ask)
{
    struct {
        struct nlmsghdr head;
        struct inet_diag_req_v2 ask;
    } request = {{sizeof request, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 1, 0}, ask};
    char answer[1024] __attribute__((aligned(8)));
    const struct nlmsghdr *head = (const void *)answer;
    const int fd =
        (int)velo_sys3(SYS_socket, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (fd < 0)
        return -1;
    long got = velo_sys6(SYS_sendto, fd, velo_word(&request), sizeof request, 0, 0, 0);
    if (got > 0)
        got = velo_sys6(SYS_recvfrom, fd, velo_word(answer), sizeof answer, 0, 0, 0);
    velo_os_close(fd);
    if (got < (long)sizeof *head)
        return -1;
    if (head->nlmsg_type == NLMSG_ERROR)
        return ((const struct nlmsgerr *)NLMSG_DATA(head))->error == -ENOENT ? 0 : -1;
    return ((const struct inet_diag_msg *)NLMSG_DATA(head))->idiag_inode;
}

uint64_t velo_socket_between(const struct sockaddr *theirs, const struct sockaddr *ours)
{
    struct inet_diag_req_v2 ask = {.sdiag_protocol = IPPROTO_TCP,
                                   .idiag_states = UINT32_MAX,
                                   .id.idiag_cookie = {UINT32_MAX, UINT32_MAX}};
    ask.sdiag_family = write_address(theirs, ask.id.idiag_src, &ask.id.idiag_sport);
    write_address(ours, ask.id.idiag_dst, &ask.id.idiag_dport);
    const int64_t inode = ask_between(ask);
    struct pair pair = {ntohs(ask.id.idiag_sport), ntohs(ask.id.idiag_dport), 0};
    if (inode < 0 && read_table("/proc/self/net/tcp", see_pair, &pair) == 0)
        read_table("/proc/self/net/tcp6", see_pair, &pair);
    return inode < 0 ? pair.inode : (uint64_t)inode;
}

/* ---- processes ------------------------------------------------------------------------------- */

void velo_socket_text(uint64_t inode, char text[40])
{
    memcpy(text, "socket:[", 8);
    const size_t end = 8 + velo_write_decimal(text + 8, inode);
    memcpy(text + end, "]", 2);
}

int velo_has_socket(uint32_t pid, int fd, uint64_t inode)
{
    char path[48] = "/proc/", wanted[40], link[40];
    size_t length = 6 + velo_write_decimal(path + 6, pid);
    memcpy(path + length, "/fd/", 4);
    velo_write_decimal(path + length + 4, (uint64_t)fd);
    velo_socket_text(inode, wanted);
    const long got = velo_os_readlinkat(AT_FDCWD, path, link, sizeof link);
    return got == (long)strlen(wanted) && memcmp(link, wanted, (size_t)got) == 0;
}

int velo_has_fifo(uint32_t pid, int fd, uint64_t inode)
{
    char path[48] = "/proc/";
    struct stat stat;
    const size_t length = 6 + velo_write_decimal(path + 6, pid);
    memcpy(path + length, "/fd/", 4);
    velo_write_decimal(path + length + 4, (uint64_t)fd);
    return velo_sys4(SYS_newfstatat, AT_FDCWD, velo_word(path), velo_word(&stat), 0) == 0 &&
           S_ISFIFO(stat.st_mode) && stat.st_ino == inode;
}

uint64_t velo_network(void)
{
    struct stat stat;
    return velo_sys4(SYS_newfstatat, AT_FDCWD, velo_word("/proc/self/ns/net"), velo_word(&stat),
                     0) == 0
               ? stat.st_ino
               : 0;
}

void velo_process_name(uint32_t pid, char name[32])
{
    char path[32] = "/proc/";
    const size_t length = 6 + velo_write_decimal(path + 6, pid);
    memcpy(path + length, "/comm", 6);
    const long got = velo_os_read_text(path, name, 32);
    name[got > 0 ? got - 1 : 0] = 0; /* without its newline */
}
