/* fts.h - what the two halves of fts know: a hierarchy, its entries, lists of them. */
#ifndef VELO_PRELOAD_WRAP_FTS_H
#define VELO_PRELOAD_WRAP_FTS_H

#include <assert.h>
#include <fts.h>

#include "preload/base/preload.h"

/* A hierarchy as libc's FTS, for programs that look inside, and what is ours behind it. All paths
 * that entries show are in one buffer, which is as long as a path in an FTSENT can be and never
 * moves. */
struct hierarchy {
    FTS fts; /* fts_rfd is no descriptor: so ours is told apart */
    uint32_t mark;
    const void *owner;
    struct hierarchy *self;
    int home; /* the working directory of fts_open; -1 with FTS_NOCHDIR */
};

/* fts64_ functions are the same code. */
static_assert(sizeof(FTS) == sizeof(FTS64) && sizeof(FTSENT) == sizeof(FTSENT64), "one layout");
static_assert(offsetof(FTSENT, fts_statp) == offsetof(FTSENT64, fts_statp), "one layout");
static_assert(sizeof(struct stat) == sizeof(struct stat64), "one layout");

/* Why a directory is read. */
enum velo_fts_reason {
    VELO_FTS_READ,     /* the walk goes on inside */
    VELO_FTS_CHILDREN, /* the program wants to see the list first */
    VELO_FTS_NAMES,    /* the same, without attributes */
};

static inline bool velo_fts_has(const struct hierarchy *all, int option)
{
    return (all->fts.fts_options & option) != 0;
}

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
/* Where a name in the directory `entry` begins in its path, behind the slash. */
static inline size_t velo_fts_base(const FTSENT *entry)
{
    const size_t length = entry->fts_pathlen;
    return entry->fts_path[length - 1] == '/' ? length : length + 1;
}

#endif
