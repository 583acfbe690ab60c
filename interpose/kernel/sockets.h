/* sockets.h - what the kernel tells of sockets and of the processes that have them, as text of /proc. */
#ifndef VELO_CORE_SOCKETS_H
#define VELO_CORE_SOCKETS_H

#include <sys/socket.h>

#include "core/velo.h"

/* Is there a socket of this inode in our network? Also 1 where that cannot be known. */
int velo_socket_exists(uint64_t inode);
/* Those that wait at a local port for connections (`datagrams`: for datagrams), of both families. Calls
 * `each` with their inodes. How many there were, or -errno. */
int velo_sockets_at(unsigned port, int datagrams, void (*each)(void *context, uint64_t inode),
                    void *context);
/* The socket of this machine that is connected to `ours`, itself at `theirs`: its inode, 0: there is none. */
uint64_t velo_socket_between(const struct sockaddr *theirs, const struct sockaddr *ours);
/* Does descriptor `fd` of that process hold the socket? */
int velo_has_socket(uint32_t pid, int fd, uint64_t inode);
/* The same of a FIFO or pipe. */
int velo_has_fifo(uint32_t pid, int fd, uint64_t inode);
/* Inode of our network namespace, or 0. */
uint64_t velo_network(void);
/* "comm" of a process, or "" */
void velo_process_name(uint32_t pid, char name[32]);
/* "socket:[inode]", as links in /proc/PID/fd say. */
void velo_socket_text(uint64_t inode, char text[40]);

#endif
