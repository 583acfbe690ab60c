/* imports.h - objects whose calls were bound to libc past us call us from then on. */
#ifndef VELO_PRELOAD_IMPORTS_H
#define VELO_PRELOAD_IMPORTS_H

#include "preload/base/preload.h"

/* How many objects the loader has ever listed, and taken from its list. */
struct velo_loaded {
    unsigned long long added, removed;
};
void velo_loaded_now(struct velo_loaded *loaded);

/* What the objects that came since then import from libc under one of our names comes from us. False:
 * something could not be written, or it is not known what. */
bool velo_imports_rebind(const struct velo_loaded *before);

#endif
