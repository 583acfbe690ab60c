/* peers.h - before and after this process talks to another by a socket. */
#ifndef VELO_PRELOAD_PEERS_H
#define VELO_PRELOAD_PEERS_H

#include <sys/socket.h>
#include <sys/un.h>

#include "preload/base/pointers.h"
#include "preload/base/preload.h"

/* A talk that is about to begin. All zero: there is nothing to do. */
struct velo_meeting {
    uint64_t key;     /* of where the other waits, 0: not known */
    uint64_t waiting; /* inode of its socket, when it waits at a port */
    int slot;         /* of the core's, plus one */
    unsigned port;
    bool by_message;  /* set by the caller: to connect is false */
    enum { VELO_MEETS_NOBODY = 0, VELO_MEETS_BY_NAME, VELO_MEETS_AT_PORT, VELO_MEETS_OURS } how;
};

/* The kernel refuses such an address before it looks for a peer. */
static inline bool velo_is_no_address(const struct sockaddr *address, socklen_t length)
{
    return length < sizeof(sa_family_t) || length > sizeof(struct sockaddr_storage) ||
           velo_cannot_read(address, length);
}

/* Which process is at `address`? If it may be outside, the tree is on disk when this returns. */
void velo_meet(int fd, const struct sockaddr *address, socklen_t length,
               struct velo_meeting *meeting);
/* After the attempt. `met`: the kernel found a peer, or is about to. Keeps errno. */
void velo_met(int fd, const struct velo_meeting *meeting, bool met);
/* The same after the socket was connected to an address of this machine other than the loopback's: only then
 * is known which addresses are ours. */
void velo_met_own_address(int fd, const struct sockaddr *address, socklen_t length);
/* This process waits to be talked to there, or at whatever port the socket has. */
void velo_wait_at(int fd, const struct sockaddr *address, socklen_t length);
/* The other end of a connected AF_UNIX socket is outside. */
bool velo_talks_to_outside(int fd);

/* Is that process inside? A recent answer is believed (write/recent.h). */
bool velo_is_inside(struct velo_region *region, uint32_t pid);

/* Of addresses, in peers.c. `name`: a path, or "@" and an abstract name, whose zero bytes are shown as "@",
 * too; false: none. */
#define VELO_ADDRESS_NAME (sizeof(struct sockaddr_un) + 2)
bool velo_name_of_address(const struct sockaddr *any, socklen_t length, char *name);
bool velo_is_loopback(const struct sockaddr *any, socklen_t length, unsigned *port);
/* The process that connected, or listens; 0 where the kernel does not say. */
uint32_t velo_credentials_of(int fd);
uint64_t velo_mix(uint64_t hash, uint64_t word);
static inline uint64_t velo_key_of_process(uint32_t pid)
{
    return velo_mix(0x706964, pid) | 1;
}
static inline uint64_t velo_key_of_inode(uint64_t inode)
{
    return velo_mix(0x696e6f6465, inode) | 1;
}

#endif
