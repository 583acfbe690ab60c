/* freeze.h - what a unit left behind, at the moment when its end is known and no program was told yet. */
#ifndef VELO_PRELOAD_REPLAY_FREEZE_H
#define VELO_PRELOAD_REPLAY_FREEZE_H

#include "log.h"

/* Appends a VELO_RECORD_HOSTED for each hosted path that the log names: what it is, and of a file its digest. The
 * bytes of what the unit wrote are kept in the arena until the sealer takes them. */
void velo_freeze(struct velo_log *log);

#endif
