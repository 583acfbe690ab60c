/* peers.c - the process at the other end: one of us, one of a kind that does not look into trees, or a process
 * outside that may do something for us there.
 *
 * In    the address that a program gives to connect, sendto or sendmsg; where programs inside wait
 * Out   the tree on disk before a process outside hears of us, a slot that lives as long as the socket
 * Never a call that the program did not make: the kernel's tables are read, and no process is asked
 *
 * AF_UNIX: the file, or the abstract name, is one that a process inside bound, or not; once connected, the
 * kernel names the listening process, and that wins. Ports of this machine carry no credentials: the sockets
 * that wait there are ours, or they are not. Other machines cannot see the tree. */
#include "peers.h"

#include <netinet/in.h>
#include <stddef.h>
#include <sys/un.h>

#include "kernel/sockets.h"
#include "kernel/text.h"
#include "preload/base/raw.h"
#include "preload/write/recent.h"
#include "exempt.h"
#include "asked.h"

uint64_t velo_mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 29;
}

_Atomic uint64_t velo_recent[VELO_RECENT_MAX];

static uint64_t inode_of(int fd)
{
    struct stat stat;
    return raw_fstat(fd, &stat) == 0 && S_ISSOCK(stat.st_mode) ? stat.st_ino : 0;
}

/* ---- AF_UNIX --------------------------------------------------------------------------------- */

/* The name in an address: a path, or "@" and an abstract name, whose zero bytes are shown as "@", too.
 * False: none. */
bool velo_name_of_address(const struct sockaddr *any, socklen_t length, char *name)
{
    const size_t head = offsetof(struct sockaddr_un, sun_path);
    if (length <= head || length > sizeof(struct sockaddr_un))
        return false;
    const char *text = (const char *)any + head;
    size_t size = length - head;
    memcpy(name, text, size);
    name[size] = 0;
    if (text[0] != 0)
        return true;
    for (size_t i = 0; i < size; i++)
        if (name[i] == 0)
            name[i] = '@';
    return true;
}

/* 0: there is no such socket. */
static uint64_t key_of_name(const char *name)
{
    struct stat stat;
    uint64_t key = 0x756e6978;
    if (name[0] != '@')
        return raw_statat(AT_FDCWD, name, &stat, 0) == 0 && S_ISSOCK(stat.st_mode)
                   ? velo_mix(velo_mix(key, stat.st_dev), stat.st_ino) | 1
                   : 0;
    for (; *name != 0; name++)
        key = velo_mix(key, (unsigned char)*name);
    return key | 1;
}

static bool is_velos_own(const struct velo_region *region, const char *name)
{
    return strcmp(name, velo_socket_of(region)) == 0 ||
           strncmp(name, region->directory, strlen(region->directory)) == 0;
}

uint32_t velo_credentials_of(int fd)
{
    struct ucred peer = {0, 0, 0};
    socklen_t size = sizeof peer;
    velo_sys5(SYS_getsockopt, fd, SOL_SOCKET, SO_PEERCRED, velo_word(&peer), velo_word(&size));
    return peer.pid > 0 ? (uint32_t)peer.pid : 0;
}

/* True: the peer is of a kind that needs nothing, and never will. meet_at_port answers the same. */
static bool meet_by_name(int fd, const struct sockaddr *any, socklen_t length,
                         struct velo_meeting *meeting)
{
    struct velo_region *region = &velo_the_region;
    char name[VELO_ADDRESS_NAME];
    if (!velo_name_of_address(any, length, name))
        return false;
    if (velo_is_exempt_name(name) || is_velos_own(region, name))
        return true;
    meeting->key = key_of_name(name);
    if (meeting->key == 0)
        return false;
    velo_asker_note(region, velo_key_of_process((uint32_t)velo_sys0(SYS_getpid)));
    meeting->how = VELO_MEETS_BY_NAME;
    if (!velo_endpoint_known(region, meeting->key))
        meeting->slot = velo_peer_begin(region, fd, inode_of(fd)) + 1;
    return false;
}

/* ---- ports of this machine ------------------------------------------------------------------- */

bool velo_is_loopback(const struct sockaddr *any, socklen_t length, unsigned *port)
{
    uint32_t address = 0;
    if (any->sa_family == AF_INET && length >= sizeof(struct sockaddr_in)) {
        const struct sockaddr_in *in = (const void *)any;
        *port = ntohs(in->sin_port);
        address = ntohl(in->sin_addr.s_addr);
        return address == 0 || address >> 24 == 127;
    }
    const struct sockaddr_in6 *in = (const void *)any;
    if (any->sa_family != AF_INET6 || length < offsetof(struct sockaddr_in6, sin6_scope_id))
        return false;
    *port = ntohs(in->sin6_port);
    memcpy(&address, in->sin6_addr.s6_addr + 12, sizeof address);
    if (IN6_IS_ADDR_V4MAPPED(&in->sin6_addr))
        return address == 0 || ntohl(address) >> 24 == 127;
    return IN6_IS_ADDR_LOOPBACK(&in->sin6_addr) || IN6_IS_ADDR_UNSPECIFIED(&in->sin6_addr);
}

struct waiting {
    uint64_t ours, stranger; /* inodes */
};

static void see_waiting(void *context, uint64_t inode)
{
    struct waiting *waiting = context;
    if (velo_endpoint_known(&velo_the_region, inode))
        waiting->ours = inode;
    else
        waiting->stranger = inode;
}

static int socket_option(int fd, int option)
{
    int value = 0;
    socklen_t size = sizeof value;
    velo_sys5(SYS_getsockopt, fd, SOL_SOCKET, option, velo_word(&value), velo_word(&size));
    return value;
}

static bool meet_at_port(int fd, unsigned port, struct velo_meeting *meeting)
{
    struct waiting waiting = {0, 0};
    if (velo_is_exempt_port(port))
        return true;
    const int found =
        velo_sockets_at(port, socket_option(fd, SO_TYPE) == SOCK_DGRAM, see_waiting, &waiting);
    if (found > 0 && waiting.stranger == 0) { /* ours alone, which will check us (asked.c) */
        meeting->how = VELO_MEETS_OURS;
        meeting->port = port;
        velo_asker_note(&velo_the_region, velo_key_of_inode(inode_of(fd)));
    }
    if (found == 0 || meeting->how == VELO_MEETS_OURS)
        return false;
    meeting->how = VELO_MEETS_AT_PORT;
    meeting->port = port;
    meeting->waiting = waiting.stranger;
    meeting->slot = velo_peer_begin(&velo_the_region, fd, inode_of(fd)) + 1;
    return false;
}

/* An address of ours that is not the loopback's: the kernel connects it to itself. */
static bool is_own_address(int fd, const struct sockaddr *any, socklen_t length, unsigned *port)
{
    struct sockaddr_in6 own;
    socklen_t size = sizeof own;
    if (any->sa_family != AF_INET && any->sa_family != AF_INET6)
        return false;
    if (velo_sys3(SYS_getsockname, fd, velo_word(&own), velo_word(&size)) != 0 ||
        own.sin6_family != any->sa_family || length < sizeof(struct sockaddr_in))
        return false;
    if (any->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)any, *mine = (const void *)&own;
        *port = ntohs(in->sin_port);
        return in->sin_addr.s_addr == mine->sin_addr.s_addr;
    }
    const struct sockaddr_in6 *in = (const void *)any;
    *port = ntohs(in->sin6_port);
    return length >= offsetof(struct sockaddr_in6, sin6_scope_id) &&
           memcmp(&in->sin6_addr, &own.sin6_addr, sizeof own.sin6_addr) == 0;
}

/* ---- before and after ------------------------------------------------------------------------ */

/* A key for an address; two sockets that send messages to one address have two keys, since each has its own peer.
 * 0: the address cannot be remembered. */
static uint64_t key_of_address(const struct sockaddr *any, socklen_t length, int message_fd)
{
    const size_t size = any->sa_family == AF_INET    ? offsetof(struct sockaddr_in, sin_zero)
                        : any->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                     : length;
    uint64_t key = velo_mix(0x61646472, (uint64_t)(message_fd + 1)), word = 0;
    if (size > sizeof(struct sockaddr_un) || size > length)
        return 0;
    for (size_t at = 0; at < size; at += sizeof word, word = 0) {
        memcpy(&word, (const char *)any + at, size - at < sizeof word ? size - at : sizeof word);
        key = velo_mix(key, word);
    }
    return key;
}

/* A socket is connected once, but a message may be one of thousands. */
static bool is_answered(int fd, const struct sockaddr *any, uint64_t key,
                        struct velo_meeting *meeting)
{
    if (!meeting->by_message && velo_is_recent(velo_mix(key, VELO_MEETS_OURS))) {
        meeting->how = VELO_MEETS_OURS;
        meeting->port = ntohs(((const struct sockaddr_in *)any)->sin_port);
        velo_asker_note(&velo_the_region, velo_key_of_inode(inode_of(fd)));
        return true;
    }
    if (!velo_opaque_runs(&velo_the_region) || !velo_peer_has(&velo_the_region, inode_of(fd)))
        return false;
    if (meeting->by_message)
        velo_recent_note(key, false);
    return true;
}

void velo_meet(int fd, const struct sockaddr *any, socklen_t length, struct velo_meeting *meeting)
{
    unsigned port = 0;
    meeting->how = VELO_MEETS_NOBODY;
    meeting->slot = 0;
    if (velo_here() == NULL || velo_is_no_address(any, length))
        return;
    const bool is_name = any->sa_family == AF_UNIX;
    if (!is_name && !velo_is_loopback(any, length, &port))
        return;
    const uint64_t key = key_of_address(any, length, meeting->by_message ? fd : -1);
    if (velo_is_recent(key) || is_answered(fd, any, key, meeting))
        return;
    if (is_name ? meet_by_name(fd, any, length, meeting) : meet_at_port(fd, port, meeting))
        velo_recent_note(key, true);
    else if (meeting->how == VELO_MEETS_OURS)
        velo_recent_note(meeting->by_message ? key : velo_mix(key, VELO_MEETS_OURS), false);
    if (meeting->by_message && meeting->how == VELO_MEETS_OURS)
        meeting->how = VELO_MEETS_NOBODY; /* it is told our address, and may look for it */
}

/* The kernel names the listener, which is not asked itself: another process may have started it. */
static void met_by_name(struct velo_region *region, int fd, const struct velo_meeting *meeting)
{
    const uint32_t pid = velo_credentials_of(fd);
    int slot = meeting->slot - 1;
    if (pid == 0 && meeting->slot == 0)
        return; /* datagrams, to a socket of ours */
    if (pid != 0 && velo_is_inside(region, pid)) {
        velo_endpoint_note(region, meeting->key);
        velo_peer_none(region, slot);
        return;
    }
    if (meeting->slot == 0)
        slot = velo_peer_begin(region, fd, inode_of(fd));
    velo_peer_known(region, slot, pid, "a socket", 0);
}

static void met_at_port(struct velo_region *region, const struct velo_meeting *meeting)
{
    const uint32_t pid = velo_peer_owner(region, meeting->waiting);
    if (pid != 0 && velo_is_inside(region, pid)) {
        velo_endpoint_note(region, meeting->waiting);
        velo_peer_none(region, meeting->slot - 1);
        return;
    }
    char name[5 + VELO_DECIMAL_MAX] = "port ";
    velo_write_decimal(name + 5, meeting->port);
    velo_peer_known(region, meeting->slot - 1, pid, name, meeting->waiting);
}

void velo_met(int fd, const struct velo_meeting *meeting, bool met)
{
    if (meeting->how == VELO_MEETS_NOBODY)
        return;
    const int saved = errno;
    struct velo_region *region = &velo_the_region;
    if (meeting->how == VELO_MEETS_OURS)
        velo_asks_ours(fd, met ? meeting->port : 0);
    else if (!met)
        velo_peer_none(region, meeting->slot - 1);
    else if (meeting->how == VELO_MEETS_BY_NAME)
        met_by_name(region, fd, meeting);
    else
        met_at_port(region, meeting);
    errno = saved;
}

void velo_met_own_address(int fd, const struct sockaddr *any, socklen_t length)
{
    struct velo_meeting meeting = {.how = VELO_MEETS_NOBODY};
    unsigned port = 0;
    if (velo_here() == NULL || velo_is_no_address(any, length) || any->sa_family == AF_UNIX ||
        velo_is_loopback(any, length, &port))
        return;
    const uint64_t key = velo_mix(key_of_address(any, length, -1), VELO_MEETS_NOBODY);
    if (velo_is_recent(key))
        return;
    const int saved = errno;
    if (!is_own_address(fd, any, length, &port)) {
        velo_recent_note(key, false);
        errno = saved;
        return;
    }
    if (velo_peer_has(&velo_the_region, inode_of(fd)))
        return;
    meet_at_port(fd, port, &meeting);
    errno = saved;
    velo_met(fd, &meeting, true);
}

void velo_wait_at(int fd, const struct sockaddr *any, socklen_t length)
{
    struct velo_region *region = velo_here();
    char name[VELO_ADDRESS_NAME];
    uint64_t key = 0;
    if (region == NULL)
        return;
    const int saved = errno;
    if (any != NULL && any->sa_family == AF_UNIX)
        key = velo_name_of_address(any, length, name) ? key_of_name(name) : 0;
    else
        key = inode_of(fd);
    if (key != 0)
        velo_endpoint_note(region, key);
    errno = saved;
}

bool velo_is_inside(struct velo_region *region, uint32_t pid)
{
    const uint64_t key = velo_key_of_process(pid);
    if (velo_is_recent(key))
        return true;
    const bool inside = velo_peer_is_inside(region, pid);
    if (inside)
        velo_recent_note(key, false);
    return inside;
}

bool velo_talks_to_outside(int fd)
{
    struct velo_region *region = velo_here();
    if (region == NULL || socket_option(fd, SO_DOMAIN) != AF_UNIX)
        return false;
    const uint32_t pid = velo_credentials_of(fd);
    return pid != 0 && !velo_is_inside(region, pid);
}
