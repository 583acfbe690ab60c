/* resolve.c - from the text of a path to a place: hosted or outside.
 *
 * Outside hosted directories a path is taken by its text (`.`, `..` and `//` collapsed); where the
 * text reaches a directory that velo.toml names, the walk goes on in the namespace, by the kernel's
 * rules: symlinks followed where they stand, `..` of the namespace's directories, search permission.
 * No lock: the whole walk is one optimistic read, done again when the tree changed meanwhile, and
 * under the lock when it changes all the time.
 *
 * A directory matched for the first time has no node yet: the walk stops, velo_root_attach takes in
 * the disk's names, and the walk starts over. */
#include "core/tree/tree.h"

#include <errno.h>
#include <string.h>

#include "kernel/os.h"
#include "core/disk/reconcile.h"
#include "core/tree/path.h"
#include "core/disk/root.h"

#define OPTIMISTIC_TRIES 20
#define RESTARTS_MAX 100
#define KERNELS_MAX 8

enum { /* why a walk stopped early; below all errnos */
       STOP_NEW_ROOT = -5000, /* place->path is a hosted directory without a node */
       STOP_NEED_BUFFER = -5001,
       STOP_WAS_PATH_TOO_LONG =
           -5002, /* place->path, place->parent: what was out of reach, and was moved */
};

struct walker {
    struct velo_region *region;
    struct velo_place *place;
    unsigned flags;
    char *buffer; /* PATH_MAX bytes for text with a symlink spliced in, or NULL */
    const char *rest; /* text still to walk */
    uint32_t directory; /* node the walk stands in, 0: outside */
    uint32_t root;
    size_t length; /* of place->path */
    int links; /* symlinks followed */
    int was_hosted;
    struct { /* paths found to be no hosted directory, nor is anything below them */
        size_t length;
        uint32_t hash;
    } kernels[KERNELS_MAX];
    uint32_t kernels_count;
    struct { /* where something is mounted: from here on outside */
        uint32_t directory, root; /* above it, or 0 */
        size_t length; /* of its path, 0: not below one */
    } mount;
    uint32_t overlong; /* directory with an entry that has no path of its own */
};

/* ---- where hosted directories begin ---------------------------------------------------------- */

static int is_at_or_below(const struct walker *w, size_t length)
{
    return w->length == length || (w->length > length && w->place->path[length] == '/');
}

/* Is this path, or one above it, the kernel's? Below a missing `node_modules/` there is none either:
 * without the "above", two of them in one path would take turns at being the last one looked at. */
static int is_kernels(const struct walker *w)
{
    for (uint32_t i = 0; i < w->kernels_count && i < KERNELS_MAX; i++)
        if (is_at_or_below(w, w->kernels[i].length) &&
            velo_hash(0, w->place->path, w->kernels[i].length) == w->kernels[i].hash)
            return 1;
    return 0;
}

/* ---- one component --------------------------------------------------------------------------- */

static int append(struct walker *w, const char *text, size_t length)
{
    if (w->length + 1 + length >= PATH_MAX) {
        w->overlong = w->directory;
        return -ENAMETOOLONG;
    }
    w->place->path[w->length++] = '/';
    memcpy(w->place->path + w->length, text, length);
    w->length += length;
    w->place->path[w->length] = 0;
    return 0;
}

static void strip_last(struct walker *w)
{
    while (w->length > 0 && w->place->path[--w->length] != '/') {
    }
    w->place->path[w->length] = 0;
}

/* The part of `rest` up to the next slash; *last when nothing but slashes follows. */
static size_t component(const char *text, int *last)
{
    size_t length = 0;
    while (text[length] != 0 && text[length] != '/')
        length++;
    const char *after = text + length;
    while (*after == '/')
        after++;
    *last = *after == 0;
    return length;
}

static void stand_in(struct walker *w, uint32_t directory)
{
    w->directory = directory;
    w->place->node = directory;
    w->place->type = VELO_DIRECTORY;
}

static int is_mounted(const struct velo_region *region, uint32_t node)
{
    const uint32_t kernels = VELO_NODE_MOUNT | VELO_NODE_RETIRED;
    return (VELO_READ(velo_node_at(region, node)->flags) & kernels) != 0;
}

/* The path as it is now is of something that is mounted in `directory` of `root`. */
static void go_outside(struct walker *w, uint32_t directory, uint32_t root)
{
    w->mount.directory = directory;
    w->mount.root = root;
    w->mount.length = w->length;
    w->directory = w->root = 0;
    w->place->node = 0;
    w->place->type = VELO_NONE;
}

/* By ".." outside: above a mount's point it is hosted again. */
static void step_up_outside(struct walker *w)
{
    strip_last(w);
    if (w->mount.length <= w->length)
        return;
    w->mount.length = 0;
    w->root = w->mount.root;
    if (w->mount.directory != 0)
        stand_in(w, w->mount.directory);
}

/* After the path grew outside: is it now a hosted directory? */
static int maybe_enter(struct walker *w)
{
    struct velo_header *header = w->region->header;
    char *path = w->place->path;
    if (header->alias_length > 0 && w->length == header->alias_length &&
        memcmp(path, header->alias, w->length) == 0) {
        memcpy(path, header->workspace, (size_t)header->workspace_length + 1);
        w->length = header->workspace_length;
    }
    if (w->mount.length != 0 || !velo_pattern_matches(header, path, w->length))
        return 0;
    const uint32_t root = velo_root_find(w->region, path, w->length);
    if (root == 0)
        return is_kernels(w) ? 0 : STOP_NEW_ROOT;
    if (is_mounted(w->region, root)) {
        go_outside(w, 0, 0);
        return 0;
    }
    w->root = root;
    w->was_hosted = 1;
    stand_in(w, root);
    return 0;
}

/* The path up to here is missing, a file or a symlink: the kernel's, with everything below it. */
static void remember_kernels(struct walker *w)
{
    const uint32_t slot = w->kernels_count++ % KERNELS_MAX;
    w->kernels[slot].length = w->length;
    w->kernels[slot].hash = velo_hash(0, w->place->path, w->length);
}

static int step_up(struct walker *w)
{
    const struct velo_node *node = velo_node_at(w->region, w->directory);
    strip_last(w);
    if (VELO_READ(node->root_slot) == 0) {
        stand_in(w, VELO_READ(node->parent));
        return 0;
    }
    /* Out of a hosted directory; what is above may lie in one only by text, which never nests. */
    w->directory = w->root = 0;
    w->place->node = 0;
    w->place->type = VELO_NONE;
    return 0;
}

static int splice_link(struct walker *w, const struct velo_node *link, const char *rest)
{
    if (w->buffer == NULL)
        return STOP_NEED_BUFFER;
    if (++w->links > VELO_SYMLINKS_MAX)
        return -ELOOP;
    const size_t length = VELO_READ(link->size), tail = velo_length(rest);
    if (length == 0 || length + (tail > 0) + tail >= PATH_MAX)
        return length == 0 ? -ENOENT : -ENAMETOOLONG;
    if (tail > 0)
        memmove(w->buffer + length + 1, rest, tail + 1);
    if (velo_target_read(w->region, link, w->buffer, PATH_MAX) != (long)length)
        return -ENOENT; /* torn: will be walked again */
    w->buffer[length] = '/';
    /* The slash after the target is the one that followed the link's name, if there was one. */
    if (tail == 0)
        w->buffer[length] = 0;
    w->rest = w->buffer;
    if (w->buffer[0] == '/') {
        w->directory = w->root = 0;
        w->length = 0;
        w->place->path[0] = 0;
        w->place->node = 0;
        w->place->type = VELO_NONE;
    }
    return 0;
}

/* The last name does not exist, or cannot. */
static int stop_at_missing(struct walker *w, const char *text, size_t length)
{
    w->place->parent = w->directory;
    w->place->node = 0;
    w->place->type = VELO_NONE;
    const int rc = append(w, text, length);
    w->directory = 0;
    return rc;
}

static int step_down(struct walker *w, const char *text, size_t length, int last, const char *rest)
{
    struct velo_place *place = w->place;
    const struct velo_node *directory = velo_node_at(w->region, w->directory);
    const int rc = velo_may_search(w->region, directory, w->flags);
    if (rc != 0)
        return rc;
    if (length > VELO_NAME_MAX) {
        if (!last || (w->flags & VELO_WALK_LAST) == 0)
            return -ENAMETOOLONG;
        place->too_long = 1;
        return stop_at_missing(w, text, length);
    }
    const uint32_t index = velo_name_find(w->region, w->directory, text, length);
    const uint32_t found = index == 0 ? 0 : VELO_READ(velo_name_at(w->region, index)->node);
    if (found == 0)
        return last ? stop_at_missing(w, text, length) : -ENOENT;
    const struct velo_node *node = velo_node_at(w->region, found);
    const enum velo_type type = VELO_READ(node->type);
    if (is_mounted(w->region, found)) {
        const int grown = append(w, text, length);
        go_outside(w, w->directory, w->root);
        return grown;
    }
    const int checked_later = last && text[length] == '/' && (w->flags & VELO_WALK_LAST) != 0;
    const int slash = text[length] == '/' && !checked_later;
    if (type == VELO_SYMLINK && !checked_later &&
        (!last || slash || (w->flags & VELO_WALK_NOFOLLOW) == 0)) {
        place->through_link |= last && (w->flags & VELO_WALK_NOFOLLOW) != 0;
        return splice_link(w, node, rest);
    }
    place->parent = w->directory;
    place->node = found;
    place->type = type;
    if (type != VELO_DIRECTORY && (!last || slash))
        return -ENOTDIR;
    const int appended = append(w, text, length);
    w->directory = type == VELO_DIRECTORY ? found : 0;
    if (appended == 0 && (VELO_READ(node->flags) & VELO_NODE_PATH_TOO_LONG) != 0)
        return STOP_WAS_PATH_TOO_LONG;
    return appended;
}

static int step(struct walker *w)
{
    const char *text = w->rest;
    int last = 0;
    const size_t length = component(text, &last);
    const char *rest = text + length;
    while (*rest == '/' && rest[1] == '/')
        rest++;
    w->rest = rest;
    w->place->dots = 0;
    if (length <= 2 && text[0] == '.' && (length == 1 || text[1] == '.')) {
        w->place->dots = (uint8_t)length;
        if (w->directory != 0) {
            const int rc =
                velo_may_search(w->region, velo_node_at(w->region, w->directory), w->flags);
            if (rc != 0 || length == 1)
                return rc;
            return step_up(w);
        }
        if (length == 2)
            step_up_outside(w);
        return 0;
    }
    if (w->directory != 0)
        return step_down(w, text, length, last, rest);
    const int rc = append(w, text, length);
    return rc != 0 ? rc : maybe_enter(w);
}

/* ---- the whole walk -------------------------------------------------------------------------- */

static int walk_text(struct walker *w)
{
    while (1) {
        const char *before = w->rest;
        while (*w->rest == '/')
            w->rest++;
        if (*w->rest == 0) {
            w->place->must_be_directory = w->rest > before && w->rest[-1] == '/';
            return 0;
        }
        const int rc = step(w);
        if (rc != 0)
            return rc;
    }
}

static size_t last_slash(const char *path, size_t length)
{
    while (length > 0 && path[length - 1] != '/')
        length--;
    return length - 1; /* wraps around when there is none: + 1 is the start */
}

static void conclude(struct walker *w)
{
    struct velo_place *place = w->place;
    struct velo_region *region = w->region;
    place->kind = w->root != 0 ? VELO_HOSTED : VELO_OUTSIDE;
    place->root = w->root;
    place->crossed = (uint8_t)(place->kind == VELO_OUTSIDE && w->was_hosted);
    if (place->kind == VELO_OUTSIDE) {
        place->node = place->parent = 0;
        place->type = VELO_NONE;
        if (w->length == 0) {
            place->path[w->length++] = '/';
            place->path[w->length] = 0;
            place->dots = 1; /* no name to remove or rename either */
        }
    } else if (place->type == VELO_DIRECTORY) {
        place->parent = VELO_READ(velo_node_at(region, place->node)->parent);
    }
    place->generation =
        place->node == 0 ? 0 : VELO_READ(velo_node_at(region, place->node)->generation);
    place->path_length = (uint16_t)w->length;
    const size_t start = last_slash(place->path, w->length) + 1;
    place->name = place->path + start;
    place->name_length = (uint16_t)(w->length - start);
}

static int walk_once(struct walker *w, uint32_t start, const char *text)
{
    struct velo_place *place = w->place;
    w->rest = text;
    w->directory = w->root = 0;
    w->length = 0;
    w->links = w->was_hosted = 0;
    w->mount.length = 0;
    place->path[0] = 0;
    place->node = place->parent = 0;
    place->type = VELO_NONE;
    place->dots = place->must_be_directory = place->through_link = place->too_long = 0;
    if (start != 0) {
        const int length = velo_directory_path(w->region, start, place->path);
        if (length < 0)
            return length;
        w->length = (size_t)length;
        w->was_hosted = 1;
        uint32_t root = start;
        for (uint32_t depth = 0; depth < VELO_DEPTH_MAX; depth++) {
            if (is_mounted(w->region, root)) { /* no absolute path leads there now */
                place->overlong = 1;
                return -ENAMETOOLONG;
            }
            if (VELO_READ(velo_node_at(w->region, root)->root_slot) != 0)
                break;
            root = VELO_READ(velo_node_at(w->region, root)->parent);
        }
        w->root = root;
        stand_in(w, start);
    }
    const int rc = walk_text(w);
    if (rc == 0)
        conclude(w);
    return rc;
}

static int walk_steadily(struct walker *w, uint32_t start, const char *text)
{
    int rc = 0;
    for (int attempt = 0; attempt < OPTIMISTIC_TRIES; attempt++) {
        const uint64_t sequence = velo_read_begin(w->region);
        if ((sequence & 1) != 0)
            break;
        rc = walk_once(w, start, text);
        if (!velo_read_retry(w->region, sequence))
            return rc;
    }
    struct velo_hold hold;
    velo_begin(w->region, &hold);
    rc = walk_once(w, start, text);
    velo_commit(w->region, &hold);
    return rc;
}

/* Its own frame, so that only paths with symlinks pay PATH_MAX bytes of stack for them. */
__attribute__((noinline)) static int walk_with_buffer(struct walker *w, uint32_t start,
                                                      const char *text)
{
    char buffer[PATH_MAX];
    w->buffer = buffer;
    const int rc = walk_steadily(w, start, text);
    w->buffer = NULL;
    return rc;
}

/* What is so deep, and a retired directory: its name may be made, removed or renamed. */
static void leave_to_the_kernel(const struct walker *w, int rc)
{
    if (rc == -ENAMETOOLONG && w->overlong != 0) {
        w->place->overlong = 1;
        velo_stale(w->region, w->overlong);
    } else if (rc == 0 && (w->flags & VELO_WALK_LAST) != 0 && w->place->kind == VELO_OUTSIDE &&
               w->mount.directory != 0 && w->mount.length == w->length) {
        velo_stale(w->region, w->mount.directory);
    }
}

static int is_stale(const struct velo_region *region, uint32_t directory)
{
    return directory != 0 &&
           (VELO_READ(velo_node_at(region, directory)->flags) & VELO_NODE_STALE) != 0;
}

/* 1: the disk was looked at for what the namespace may not know, so walk again. What is to be removed
 * or renamed may have to be empty. */
static int refresh(struct velo_region *region, const struct velo_place *place, unsigned flags)
{
    if (is_stale(region, place->parent))
        return velo_directory_refresh(region, place->parent) == 0;
    return (flags & VELO_WALK_LAST) != 0 && place->type == VELO_DIRECTORY &&
           is_stale(region, place->node) && velo_directory_refresh(region, place->node) == 0;
}

static int walk(struct velo_region *region, uint32_t start, const char *text, unsigned flags,
                struct velo_place *place)
{
    struct walker w = {.region = region, .place = place, .flags = flags};
    place->given = NULL, place->overlong = 0, place->unmovable = 0;
    if (text[0] == 0)
        return -ENOENT;
    if (strnlen(text, PATH_MAX) == PATH_MAX)
        return -ENAMETOOLONG;
    const int compared = velo_opaque_runs(region);
    if (compared)
        region->poll(region);
    for (int restart = 0, attempts = 0; restart < RESTARTS_MAX; restart++) {
        int rc = walk_steadily(&w, start, text);
        if (rc == STOP_NEED_BUFFER)
            rc = walk_with_buffer(&w, start, text);
        leave_to_the_kernel(&w, rc);
        if (rc == STOP_WAS_PATH_TOO_LONG) {
            const size_t at = last_slash(place->path, w.length) + 1;
            rc = velo_take_from_disk(region, place->parent, place->path + at, w.length - at);
            if (rc == 0)
                continue;
        }
        if (rc != STOP_NEW_ROOT) {
            if (rc == 0 && place->kind == VELO_HOSTED && refresh(region, place, flags))
                continue;
            const struct velo_walked walked = {start, text, flags, w.links, rc, attempts++};
            if (compared && region->fresh(region, &walked, place))
                continue;
            return rc;
        }
        rc = velo_root_attach(region, place->path, w.length);
        if (rc == -ENOENT || rc == -ENOTDIR)
            remember_kernels(&w);
        else if (rc != 0)
            return rc;
    }
    return -ELOOP;
}

int velo_walk(struct velo_region *region, const char *text, unsigned flags,
              struct velo_place *place)
{
    return walk(region, 0, text, flags, place);
}

int velo_walk_at(struct velo_region *region, uint32_t directory, const char *text, unsigned flags,
                 struct velo_place *place)
{
    return walk(region, text[0] == '/' ? 0 : directory, text, flags, place);
}
