/* fts_list.h - what other files call of fts_list.c. */
#ifndef VELO_PRELOAD_WRAP_FTS_LIST_H
#define VELO_PRELOAD_WRAP_FTS_LIST_H

#include "preload/base/preload.h"
#include "preload/wrap/fts.h"

/* A new entry for a name, or NULL without memory. */
FTSENT *velo_fts_entry(struct hierarchy *all, const char *name, size_t length);
void velo_fts_free(FTSENT *list);
/* Fill in what `entry` is, found at its fts_accpath; its new fts_info. */
unsigned short velo_fts_ask(struct hierarchy *all, FTSENT *entry, bool follows);
/* The `count` entries of a list in the order of the program's function, if it gave one. */
FTSENT *velo_fts_sorted(const struct hierarchy *all, FTSENT *list, size_t count);
/* The entries of the current directory. NULL: there are none, or fts_info and fts_errno of it say
 * what failed; FTS_STOP in the options: nothing more can be read. */
FTSENT *velo_fts_list(struct hierarchy *all, enum velo_fts_reason reason);
/* Into the directory that is open on `fd`, or at `path` when fd < 0, if it is still the one that
 * `entry` describes. With FTS_NOCHDIR nothing to do. 0, or -1 and errno. */
int velo_fts_change(const struct hierarchy *all, const FTSENT *entry, int fd, const char *path);
/* Back to where fts_open was called. 0, or -1 and errno. */
int velo_fts_change_home(const struct hierarchy *all);

#endif
