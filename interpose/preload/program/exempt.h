/* exempt.h - what other files call of exempt.c. */
#ifndef VELO_PRELOAD_PROGRAM_EXEMPT_H
#define VELO_PRELOAD_PROGRAM_EXEMPT_H

#include "preload/base/preload.h"

/* exempt.c: is the peer of a kind that does not look into trees? `name` of an AF_UNIX address, "@..." for
 * an abstract one. */
bool velo_is_exempt_name(const char *name);
bool velo_is_exempt_port(unsigned port);

#endif
