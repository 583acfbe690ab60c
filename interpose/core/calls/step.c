/* step.c - one component of a path: down into a directory, up from it, along a symlink, out of hosted
 * directories and in again. resolve.c has the loop, and repeats it when the tree changes meanwhile. */
#include "step.h"

#include <errno.h>
#include <string.h>

#include "kernel/os.h"
#include "core/disk/mounted.h"
#include "core/disk/reconcile.h"
#include "core/disk/root.h"
#include "core/tree/path.h"

/* ---- where hosted directories begin ---------------------------------------------------------- */

static int is_at_or_below(const struct velo_walker *w, size_t length)
{
    return w->length == length || (w->length > length && w->place->text.path[length] == '/');
}

/* Is this path, or one above it, the kernel's? Below a missing `node_modules/` there is no further one. If only
 * the path itself counted, two such names in one path would take turns at being the last one looked at. */
static int is_kernels(const struct velo_walker *w)
{
    for (uint32_t i = 0; i < w->kernels_count && i < KERNELS_MAX; i++)
        if (is_at_or_below(w, w->kernels[i].length) &&
            velo_hash(0, w->place->text.path, w->kernels[i].length) == w->kernels[i].hash)
            return 1;
    return 0;
}

/* ---- one component --------------------------------------------------------------------------- */

static int append(struct velo_walker *w, const char *text, size_t length)
{
    if (w->length + 1 + length >= PATH_MAX) {
        w->overlong = w->directory;
        return -ENAMETOOLONG;
    }
    w->place->text.path[w->length++] = '/';
    memcpy(w->place->text.path + w->length, text, length);
    w->length += length;
    w->place->text.path[w->length] = 0;
    return 0;
}

static void strip_last(struct velo_walker *w)
{
    while (w->length > 0 && w->place->text.path[--w->length] != '/') {
    }
    w->place->text.path[w->length] = 0;
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

void velo_walker_stand_in(struct velo_walker *w, velo_node_id directory)
{
    w->directory = directory;
    w->place->at.node = directory;
    w->place->at.type = VELO_DIRECTORY;
}

int velo_is_mounted_on(const struct velo_region *region, velo_node_id node)
{
    const uint32_t kernels = VELO_NODE_MOUNT | VELO_NODE_RETIRED;
    return (VELO_READ(velo_node_at(region, node)->flags) & kernels) != 0;
}

/* The path leads to a mount in `directory` of `root`: from here on the walk is outside. */
static void go_outside(struct velo_walker *w, velo_node_id directory, velo_node_id root)
{
    w->mount.directory = directory;
    w->mount.root = root;
    w->mount.length = w->length;
    w->directory = w->root = VELO_NO_NODE;
    w->place->at.node = VELO_NO_NODE;
    w->place->at.type = VELO_NONE;
}

/* A ".." outside: above a mount's point the path is hosted again. */
static void step_up_outside(struct velo_walker *w)
{
    strip_last(w);
    if (w->mount.length <= w->length)
        return;
    w->mount.length = 0;
    w->root = w->mount.root;
    if (velo_is_node(w->mount.directory))
        velo_walker_stand_in(w, w->mount.directory);
}

/* After the path grew outside: is it now a hosted directory? */
static int maybe_enter(struct velo_walker *w)
{
    struct velo_header *header = w->region->header;
    char *path = w->place->text.path;
    if (header->alias_length > 0 && w->length == header->alias_length &&
        memcmp(path, header->alias, w->length) == 0 &&
        header->workspace_length < sizeof header->workspace) {
        memcpy(path, header->workspace, (size_t)header->workspace_length + 1);
        w->length = header->workspace_length;
    }
    if (w->mount.length != 0 || !velo_pattern_matches(header, path, w->length))
        return 0;
    const velo_node_id root = velo_root_find(w->region, path, w->length);
    if (!velo_is_node(root))
        return is_kernels(w) ? 0 : VELO_STOP_NEW_ROOT;
    if (velo_is_mounted_on(w->region, root)) {
        go_outside(w, VELO_NO_NODE, VELO_NO_NODE);
        return 0;
    }
    w->root = root;
    velo_walker_stand_in(w, root);
    return 0;
}

/* The path up to here is missing, a file or a symlink: the kernel's, with everything below it. */
void velo_walker_remember(struct velo_walker *w)
{
    const uint32_t slot = w->kernels_count++ % KERNELS_MAX;
    w->kernels[slot].length = w->length;
    w->kernels[slot].hash = velo_hash(0, w->place->text.path, w->length);
}

static int step_up(struct velo_walker *w)
{
    const struct velo_node *node = velo_node_at(w->region, w->directory);
    strip_last(w);
    if (VELO_READ(node->root_slot) == 0) {
        velo_walker_stand_in(w, VELO_READ_ID(node->parent));
        return 0;
    }
    /* Out of a hosted directory; what is above may lie in one only by text, which never nests. */
    w->directory = w->root = VELO_NO_NODE;
    w->place->at.node = VELO_NO_NODE;
    w->place->at.type = VELO_NONE;
    return 0;
}

static int splice_link(struct velo_walker *w, const struct velo_node *link, const char *rest)
{
    if (w->buffer == NULL)
        return VELO_STOP_NEED_BUFFER;
    if (++w->links > VELO_SYMLINKS_MAX)
        return -ELOOP;
    const size_t length = VELO_READ(link->size), tail = strlen(rest);
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
        w->directory = w->root = VELO_NO_NODE;
        w->length = 0;
        w->place->text.path[0] = 0;
        w->place->at.node = VELO_NO_NODE;
        w->place->at.type = VELO_NONE;
    }
    return 0;
}

/* The last name does not exist, or cannot. */
static int stop_at_missing(struct velo_walker *w, const char *text, size_t length)
{
    w->place->at.parent = w->directory;
    w->place->at.node = VELO_NO_NODE;
    w->place->at.type = VELO_NONE;
    const int rc = append(w, text, length);
    w->directory = VELO_NO_NODE;
    return rc;
}

static int step_down(struct velo_walker *w, const char *text, size_t length, int last,
                     const char *rest)
{
    struct velo_place *place = w->place;
    const struct velo_node *directory = velo_node_at(w->region, w->directory);
    const int rc = velo_may_search(w->region, directory, w->flags);
    if (rc != 0)
        return rc;
    if (length > VELO_NAME_MAX) {
        if (!last || (w->flags & VELO_WALK_LAST) == 0)
            return -ENAMETOOLONG;
        place->asked.too_long = 1;
        return stop_at_missing(w, text, length);
    }
    const velo_name_id index = velo_name_find(w->region, w->directory, text, length);
    const velo_node_id found =
        velo_is_name(index) ? VELO_READ_ID(velo_name_at(w->region, index)->node) : VELO_NO_NODE;
    if (!velo_is_node(found)) /* a directory that no path names is the kernel's, and may be there */
        return last || w->length + 1 + length >= PATH_MAX ? stop_at_missing(w, text, length)
                                                          : -ENOENT;
    const struct velo_node *node = velo_node_at(w->region, found);
    const enum velo_type type = VELO_READ(node->type);
    if (velo_is_mounted_on(w->region, found)) {
        const int grown = append(w, text, length);
        go_outside(w, w->directory, w->root);
        return grown;
    }
    const int checked_later = last && text[length] == '/' && (w->flags & VELO_WALK_LAST) != 0;
    const int slash = text[length] == '/' && !checked_later;
    if (type == VELO_SYMLINK && !checked_later &&
        (!last || slash || (w->flags & VELO_WALK_NOFOLLOW) == 0)) {
        place->asked.through_link |= last && (w->flags & VELO_WALK_NOFOLLOW) != 0;
        return splice_link(w, node, rest);
    }
    place->at.parent = w->directory;
    place->at.node = found;
    place->at.type = type;
    if (type != VELO_DIRECTORY && (!last || slash))
        return -ENOTDIR;
    const int appended = append(w, text, length);
    w->directory = type == VELO_DIRECTORY ? found : VELO_NO_NODE;
    if (appended == 0 && (VELO_READ(node->flags) & VELO_NODE_PATH_TOO_LONG) != 0)
        return VELO_STOP_WAS_PATH_TOO_LONG;
    return appended;
}

int velo_walker_step(struct velo_walker *w)
{
    const char *text = w->rest;
    int last = 0;
    const size_t length = component(text, &last);
    const char *rest = text + length;
    while (*rest == '/' && rest[1] == '/')
        rest++;
    w->rest = rest;
    w->place->asked.dots = 0;
    if (length <= 2 && text[0] == '.' && (length == 1 || text[1] == '.')) {
        w->place->asked.dots = (uint8_t)length;
        if (velo_is_node(w->directory)) {
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
    if (velo_is_node(w->directory))
        return step_down(w, text, length, last, rest);
    const int rc = append(w, text, length);
    return rc != 0 ? rc : maybe_enter(w);
}
