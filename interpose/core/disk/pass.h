/* pass.h - one comparison of the namespace with the disk: its working memory, its steps.
 *
 * reconcile.c chooses directories and walks them, compare.c decides about one name. */
#ifndef VELO_CORE_PASS_H
#define VELO_CORE_PASS_H

#include <errno.h>

#include "core/arena/layout.h"

#define VELO_QUEUE_MAX (4u << 20) /* directories waiting; untouched pages of it cost nothing */
#define VELO_DENTS_BYTES 32768

/* The kernel's answer about a path: it leads nowhere. Any other error says nothing of what is there. */
static inline int velo_says_absent(int rc)
{
    return rc == -ENOENT || rc == -ENOTDIR;
}

/* Working memory of one pass: mapped, because the caller may have a 64 KiB stack. */
struct velo_pass {
    struct velo_region *region;
    velo_conflict conflict;
    void *context;
    struct velo_reconcile_result result;
    uint32_t mark;
    int recursive; /* go into directories that were known before, too */
    int unsure; /* a process may be writing what is found: its size and times are not believed */
    int listed; /* some directory was */
    velo_node_id
        closed; /* what is taken in, in this pass, is below it (VELO_NODE_CLOSED), or none */
    uint32_t head, tail;
    char path[PATH_MAX], target[PATH_MAX];
    _Alignas(8) char dents[VELO_DENTS_BYTES];
    velo_node_id queue[VELO_QUEUE_MAX];
};

#endif
