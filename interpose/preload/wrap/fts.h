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

/* Where a name in the directory `entry` begins in its path, behind the slash. */
static inline size_t velo_fts_base(const FTSENT *entry)
{
    const size_t length = entry->fts_pathlen;
    return entry->fts_path[length - 1] == '/' ? length : length + 1;
}

#endif
