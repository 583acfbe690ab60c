/* asked.h - what other files call of asked.c. */
#ifndef VELO_PRELOAD_PROGRAM_ASKED_H
#define VELO_PRELOAD_PROGRAM_ASKED_H

#include "preload/base/preload.h"

/* asked.c: `got` is a connection of a client, accepted at the socket `fd`. If the client is outside, the tree is
 * on disk when this returns. Keeps errno. */
void velo_accepted(int fd, int got);
/* `fd` waits for clients from now on. */
void velo_asked_at(int fd);
/* This process has connected to a port (0: it failed) at which a process inside waits. */
void velo_asks_ours(int fd, unsigned port);

#endif
