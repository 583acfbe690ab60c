/* place.h - part of velo.h, which includes it: a path as the core has understood it.
 *
 * In    filled by a walk (calls/resolve.c) or a claim (preload/path/claim.c)
 * Out   read by every call; those that make or replace what a path leads to say so in it
 * Never true for long: `generation` tells whether the slots are still the same ones */
#ifndef VELO_CORE_PLACE_H
#define VELO_CORE_PLACE_H

#include <limits.h>
#include <stdint.h>

#include "core/ids.h"

enum velo_kind { VELO_OUTSIDE = 0, VELO_HOSTED = 1 };
enum velo_type { /* of a node; 0 means the name does not exist */
                 VELO_NONE = 0,
                 VELO_REGULAR = 1,
                 VELO_DIRECTORY = 2,
                 VELO_SYMLINK = 3,
                 VELO_OTHER = 4, /* socket, FIFO, device: the kernel's, at its real path */
};

/* Where a path leads. `path` is the absolute real path with `.`, `..`, `//` and hosted symlinks
 * resolved: what a native call on disk would be made with. */
struct velo_place {
    enum velo_kind kind;
    enum velo_type type; /* of the last component, VELO_NONE if it does not exist */
    velo_node_id root; /* node of the hosted directory; == node for the hosted root itself */
    velo_node_id parent; /* node of the directory that holds the last component (0: is a root) */
    velo_node_id node; /* the last component, 0 if missing */
    uint32_t generation, parent_generation; /* of node and of parent, to notice reuse */
    uint16_t name_length;
    uint16_t path_length;
    uint8_t must_be_directory; /* the text ended in a slash */
    uint8_t through_link; /* NOFOLLOW, "link/": looking follows it, making and removing must not */
    uint8_t too_long; /* with VELO_WALK_LAST: the last name is, `name` is no use */
    uint8_t dots; /* the text ended in "." (1) or ".." (2): rmdir and rename refuse those */
    uint8_t overlong; /* -ENAMETOOLONG, because no absolute path leads there: the kernel's */
    uint8_t unmovable; /* set by the caller: once open, others have the file, who cannot move it */
    int base; /* what the program said, where that was relative to a directory: `given`, */
    const char *given; /* else NULL. The kernel may reach by it what `path` does not (any more) */
    const char *name; /* last component, inside path */
    char path[PATH_MAX];
};

enum {
    VELO_WALK_NOFOLLOW = 1, /* do not follow a symlink in the last component */
    VELO_WALK_LAST = 2, /* the last name is made, removed or renamed: "file/", "link/" and a name
                           that is too long are the call's to judge, after other errors */
    VELO_WALK_REAL = 4, /* search with the real user's rights, not the effective one's: access */
};

#endif
