/* member.h - a program of a unit: what it is, and which objects it has.
 *
 * In    the arguments of main, at the program's beginning, in a unit (unit.h)
 * Out   a record of the program and of each object
 * Never an object of a handler's or a vfork child's: these are told at the program's end */
#ifndef VELO_PRELOAD_REPLAY_MEMBER_H
#define VELO_PRELOAD_REPLAY_MEMBER_H

#include "log.h"

void velo_member_begin(int argc, char *const argv[]);
/* The objects that are mapped now. */
void velo_member_objects(void);
/* Is this code of the program, or of an object that was there when it began? */
bool velo_member_began_with(const void *code);
/* Of this library? */
bool velo_member_is_ours(const void *code);

#endif
