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

/* A path: what was asked, where it leads, and the text that leads there. */
struct velo_place {
    /* By the caller, which sets the first three or none, and by the text that it gave. */
    struct {
        int base; /* the directory and relative text that the program gave; else `given` is */
        const char *given; /* NULL. The kernel may reach by them what `text` does not (any more) */
        uint8_t unmovable; /* once open, other processes have the file, which cannot move it */
        uint8_t must_be_directory; /* the text ended in a slash */
        uint8_t through_link; /* NOFOLLOW, "link/": stat follows it, unlink and mkdir must not */
        uint8_t too_long; /* with VELO_WALK_LAST: the last name is, `text.name` is no use */
        uint8_t dots; /* the text ended in "." (1) or ".." (2): rmdir and rename refuse those */
    } asked;
    /* In the namespace, at the moment of the walk. */
    struct {
        enum velo_kind kind;
        enum velo_type type; /* of the last component, VELO_NONE if it does not exist */
        velo_node_id root; /* the hosted directory; the same as `node` for the hosted root itself */
        velo_node_id parent; /* the directory that holds the last component; none: is a root */
        velo_node_id node; /* the last component; none: missing */
        uint32_t generation, parent_generation; /* of node and of parent, to notice reuse */
        uint8_t overlong; /* -ENAMETOOLONG, because no absolute path leads there: the kernel's */
    } at;
    /* The absolute real path with `.`, `..`, `//` and hosted symlinks resolved: what a native call on
     * disk would be made with. */
    struct {
        uint16_t path_length, name_length;
        const char *name; /* last component, inside path */
        char path[PATH_MAX];
    } text;
};

enum {
    VELO_WALK_NOFOLLOW = 1, /* do not follow a symlink in the last component */
    VELO_WALK_LAST = 2, /* the last name is made, removed or renamed: "file/", "link/" and a name
                           that is too long are the call's to judge, after other errors */
    VELO_WALK_REAL = 4, /* search with the real user's rights, not the effective one's: access */
};

#endif
