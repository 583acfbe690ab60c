/* asked.c - a program inside waits for clients: is one that connects inside or outside?
 *
 * In    a connection that the kernel has accepted
 * Out   the tree on disk before a client outside is answered, a slot that lives as long as the connection
 *
 * AF_UNIX names the client's process. A port does not, so a client inside leaves word: of its socket before it
 * connects, of its port afterwards. A client that left no word is looked for. */
#include <netinet/in.h>
#include <sys/un.h>

#include "kernel/sockets.h"
#include "peers.h"
#include "preload/base/raw.h"
#include "exempt.h"
#include "asked.h"

#define WAITING_MAX 4096u /* descriptors above are looked at for each client */

/* Of sockets that wait, by descriptor. Set anew by listen; libc closes none that waits. */
enum { UNKNOWN = 0, ASKED_BY_NAME, ASKED_AT_PORT, ASKED_BY_NOBODY };
static _Atomic uint8_t waits[WAITING_MAX];

union address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
};

static socklen_t address_of(long call, int fd, union address *out)
{
    socklen_t length = sizeof *out;
    return velo_sys3(call, fd, velo_word(out), velo_word(&length)) == 0 ? length : 0;
}

static unsigned port_of(const union address *address)
{
    return ntohs(address->in.sin_port); /* in6 has it at the same place */
}

static uint8_t snapshot(int fd)
{
    union address own;
    char name[VELO_ADDRESS_NAME];
    const socklen_t length = address_of(SYS_getsockname, fd, &own);
    if (length < sizeof(sa_family_t))
        return ASKED_BY_NOBODY;
    if (own.any.sa_family == AF_UNIX)
        return velo_name_of_address(&own.any, length, name) && velo_is_exempt_name(name)
                   ? ASKED_BY_NOBODY
                   : ASKED_BY_NAME;
    const bool internet = own.any.sa_family == AF_INET || own.any.sa_family == AF_INET6;
    return internet && !velo_is_exempt_port(port_of(&own)) ? ASKED_AT_PORT : ASKED_BY_NOBODY;
}

void velo_asked_at(int fd)
{
    if ((unsigned)fd < WAITING_MAX && !velo_vfork_child)
        atomic_store_explicit(&waits[fd], snapshot(fd), memory_order_relaxed);
}

static uint8_t known(int fd)
{
    return (unsigned)fd < WAITING_MAX ? atomic_load_explicit(&waits[fd], memory_order_relaxed)
                                      : UNKNOWN;
}

/* ---- the client ------------------------------------------------------------------------------ */

static uint64_t key_of_ports(unsigned client, unsigned server)
{
    return velo_mix(velo_mix(0x706f7274, client), server) | 1;
}

void velo_asks_ours(int fd, unsigned port)
{
    union address own;
    if (port != 0 && address_of(SYS_getsockname, fd, &own) != 0)
        velo_asker_note(&velo_the_region, key_of_ports(port_of(&own), port));
}

/* Another machine, or another network of this one, cannot see the tree. */
static bool is_of_this_machine(const union address *client, socklen_t length,
                               const union address *own)
{
    unsigned port;
    if (velo_is_loopback(&client->any, length, &port))
        return true;
    if (client->any.sa_family != own->any.sa_family)
        return false;
    return client->any.sa_family == AF_INET
               ? client->in.sin_addr.s_addr == own->in.sin_addr.s_addr
               : memcmp(&client->in6.sin6_addr, &own->in6.sin6_addr, sizeof(struct in6_addr)) == 0;
}

static void asked_by_name(struct velo_region *region, int got)
{
    const uint32_t pid = velo_credentials_of(got);
    struct stat stat;
    if (pid != 0 &&
        (velo_asker_known(region, velo_key_of_process(pid), 0) || velo_is_inside(region, pid)))
        return;
    if (raw_fstat(got, &stat) == 0)
        velo_peer_asks(region, got, stat.st_ino, pid, "a socket");
}

static void asked_at_port(struct velo_region *region, int got)
{
    union address own, client;
    struct stat stat;
    char text[40];
    const socklen_t length = address_of(SYS_getpeername, got, &client);
    if (length == 0 || address_of(SYS_getsockname, got, &own) == 0 ||
        !is_of_this_machine(&client, length, &own) ||
        velo_asker_known(region, key_of_ports(port_of(&client), port_of(&own)), 1))
        return;
    const uint64_t inode = velo_socket_between(&client.any, &own.any);
    if (inode != 0 && velo_asker_known(region, velo_key_of_inode(inode), 0))
        return;
    velo_socket_text(inode, text);
    const uint32_t pid = inode == 0 ? 0 : velo_open_by(region, text);
    if (pid != 0 && velo_is_inside(region, pid))
        return;
    if (raw_fstat(got, &stat) == 0)
        velo_peer_asks(region, got, stat.st_ino, pid, "a client of a port");
}

void velo_accepted(int fd, int got)
{
    const uint8_t how = known(fd);
    struct velo_region *region = how == ASKED_BY_NOBODY ? NULL : velo_here();
    if (region == NULL)
        return;
    const int saved = errno;
    if (how == UNKNOWN) /* it was inherited */
        velo_asked_at(fd);
    switch (how == UNKNOWN ? snapshot(fd) : how) {
    case ASKED_BY_NAME:
        asked_by_name(region, got);
        break;
    case ASKED_AT_PORT:
        asked_at_port(region, got);
        break;
    default:
        break;
    }
    errno = saved;
}
