/* summon.h - threads that a process has when it begins to be watched (summon.c). */
#ifndef VELO_PRELOAD_SUMMON_H
#define VELO_PRELOAD_SUMMON_H

#include <signal.h>
#include <stdbool.h>

/* Tells all but the caller to call velo_sud_thread. */
void velo_summon_threads(void);
/* Is that what this SIGSYS says? */
bool velo_is_summons(const siginfo_t *info);

#endif
