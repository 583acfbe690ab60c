/* users.h - becoming another user by number, for syscall(2) and raw calls. */
#ifndef VELO_PRELOAD_USERS_H
#define VELO_PRELOAD_USERS_H

long velo_becomes_by_number(long number, long a, long b, long c);

#endif
