/* descriptors.h - work that opens files, for a process that has all the descriptors that it may have. */
#ifndef VELO_PRELOAD_DESCRIPTORS_H
#define VELO_PRELOAD_DESCRIPTORS_H

#include "preload/base/preload.h"

/* Is no descriptor free? */
bool velo_has_no_descriptor(void);

/* Do `work` in a child that has our memory, and none of our descriptors but `kept` (or -1). All signals wait
 * meanwhile. False: there can be no child, or it was killed. */
bool velo_with_descriptors(void (*work)(void *context), void *context, int kept);

#endif
