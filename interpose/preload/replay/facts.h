/* facts.h - do the facts of an entry hold at this moment? */
#ifndef VELO_PRELOAD_REPLAY_FACTS_H
#define VELO_PRELOAD_REPLAY_FACTS_H

#include "index.h"
#include "log.h"

/* The first fact of the entry that does not hold, or NULL. Of files outside of the workspace what held a moment ago is
 * believed, if this process is `alone`: nothing that it started runs, nor a program that we do not see. */
const struct velo_fact *velo_facts_fail(const struct velo_index *index,
                                        const struct velo_entry *entry, bool alone);
/* Something ran, and may have written anywhere: what was found before is not believed. */
void velo_facts_doubt(void);

#endif
