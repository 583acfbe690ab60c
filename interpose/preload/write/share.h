/* share.h - before a descriptor of a hosted file is shared or handed on (share.c). */
#ifndef VELO_PRELOAD_SHARE_H
#define VELO_PRELOAD_SHARE_H

#include "credit.h"

/* A child that gets this process's descriptors is about to begin (also from a stub: jump.c). */
void velo_before_child(void);
/* Another program is about to run in place of this one. */
void velo_before_exec(void);
/* The file behind `fd`, which may grow it, is about to be mapped, or handed over. */
void velo_before_sharing(int fd);

#endif
