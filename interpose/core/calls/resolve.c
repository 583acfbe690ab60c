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
#include "step.h"
#include "core/disk/root.h"

#define OPTIMISTIC_TRIES 20
#define RESTARTS_MAX 100

/* ---- the whole walk -------------------------------------------------------------------------- */

static int walk_text(struct velo_walker *w)
{
    while (1) {
        const char *before = w->rest;
        while (*w->rest == '/')
            w->rest++;
        if (*w->rest == 0) {
            w->place->asked.must_be_directory = w->rest > before && w->rest[-1] == '/';
            return 0;
        }
        const int rc = velo_walker_step(w);
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

static void conclude(struct velo_walker *w)
{
    struct velo_place *place = w->place;
    struct velo_region *region = w->region;
    place->at.kind = velo_is_node(w->root) ? VELO_HOSTED : VELO_OUTSIDE;
    place->at.root = w->root;
    if (place->at.kind == VELO_OUTSIDE) {
        place->at.node = place->at.parent = VELO_NO_NODE;
        place->at.type = VELO_NONE;
        if (w->length == 0) {
            place->text.path[w->length++] = '/';
            place->text.path[w->length] = 0;
            place->asked.dots = 1; /* no name to remove or rename either */
        }
    } else if (place->at.type == VELO_DIRECTORY) {
        place->at.parent = VELO_READ_ID(velo_node_at(region, place->at.node)->parent);
    }
    place->at.generation = velo_is_node(place->at.node)
                               ? VELO_READ(velo_node_at(region, place->at.node)->generation)
                               : 0;
    place->at.parent_generation =
        !velo_is_node(place->at.parent)
            ? 0
            : VELO_READ(velo_node_at(region, place->at.parent)->generation);
    place->text.path_length = (uint16_t)w->length;
    const size_t start = last_slash(place->text.path, w->length) + 1;
    place->text.name = place->text.path + start;
    place->text.name_length = (uint16_t)(w->length - start);
}

static int walk_once(struct velo_walker *w, velo_node_id start, const char *text)
{
    struct velo_place *place = w->place;
    w->rest = text;
    w->directory = w->root = VELO_NO_NODE;
    w->length = 0;
    w->links = 0;
    w->mount.length = 0;
    place->text.path[0] = 0;
    place->at.node = place->at.parent = VELO_NO_NODE;
    place->at.type = VELO_NONE;
    place->asked.dots = place->asked.must_be_directory = place->asked.through_link =
        place->asked.too_long = 0;
    if (velo_is_node(start)) {
        const int length = velo_directory_path(w->region, start, place->text.path);
        if (length < 0)
            return length;
        w->length = (size_t)length;
        velo_node_id root = start;
        for (uint32_t depth = 0; depth < VELO_DEPTH_MAX; depth++) {
            if (velo_is_mounted_on(w->region, root)) { /* no absolute path leads there now */
                place->at.overlong = 1;
                return -ENAMETOOLONG;
            }
            if (VELO_READ(velo_node_at(w->region, root)->root_slot) != 0)
                break;
            root = VELO_READ_ID(velo_node_at(w->region, root)->parent);
        }
        w->root = root;
        velo_walker_stand_in(w, start);
    }
    const int rc = walk_text(w);
    if (rc == 0)
        conclude(w);
    return rc;
}

static int walk_steadily(struct velo_walker *w, velo_node_id start, const char *text)
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
__attribute__((noinline)) static int walk_with_buffer(struct velo_walker *w, velo_node_id start,
                                                      const char *text)
{
    char buffer[PATH_MAX];
    w->buffer = buffer;
    const int rc = walk_steadily(w, start, text);
    w->buffer = NULL;
    return rc;
}

/* The kernel may now make, remove or rename a name in a directory whose path is too long, or the name of a
 * retired directory: mark the directory that holds it, to be compared. */
static void leave_to_the_kernel(const struct velo_walker *w, int rc)
{
    if (rc == -ENAMETOOLONG && velo_is_node(w->overlong)) {
        w->place->at.overlong = 1;
        velo_stale(w->region, w->overlong);
    } else if (rc == 0 && (w->flags & VELO_WALK_LAST) != 0 && w->place->at.kind == VELO_OUTSIDE &&
               velo_is_node(w->mount.directory) && w->mount.length == w->length) {
        velo_stale(w->region, w->mount.directory);
    }
}

static int is_stale(const struct velo_region *region, velo_node_id directory)
{
    return velo_is_node(directory) &&
           (VELO_READ(velo_node_at(region, directory)->flags) & VELO_NODE_STALE) != 0;
}

/* 1: the disk was looked at for names that the namespace may not know, so walk again. Also for a directory
 * that is to be removed or renamed, since it may have to be empty. */
static int refresh(struct velo_region *region, const struct velo_place *place, unsigned flags)
{
    if (is_stale(region, place->at.parent))
        return velo_directory_refresh(region, place->at.parent) == 0;
    return (flags & VELO_WALK_LAST) != 0 && place->at.type == VELO_DIRECTORY &&
           is_stale(region, place->at.node) && velo_directory_refresh(region, place->at.node) == 0;
}

static int walk(struct velo_region *region, velo_node_id start, const char *text, unsigned flags,
                struct velo_place *place)
{
    struct velo_walker w = {.region = region, .place = place, .flags = flags};
    place->asked.given = NULL, place->at.overlong = 0, place->asked.unmovable = 0;
    if (text[0] == 0)
        return -ENOENT;
    if (strnlen(text, PATH_MAX) == PATH_MAX)
        return -ENAMETOOLONG;
    const int compared = velo_opaque_runs(region);
    if (compared)
        region->poll(region);
    for (int restart = 0, attempts = 0; restart < RESTARTS_MAX; restart++) {
        int rc = walk_steadily(&w, start, text);
        if (rc == VELO_STOP_NEED_BUFFER)
            rc = walk_with_buffer(&w, start, text);
        leave_to_the_kernel(&w, rc);
        if (rc == VELO_STOP_WAS_PATH_TOO_LONG) {
            const size_t at = last_slash(place->text.path, w.length) + 1;
            rc =
                velo_take_from_disk(region, place->at.parent, place->text.path + at, w.length - at);
            if (rc == 0)
                continue;
        }
        if (rc != VELO_STOP_NEW_ROOT) {
            if (rc == 0 && place->at.kind == VELO_HOSTED && refresh(region, place, flags))
                continue;
            const struct velo_walked walked = {start, text, flags, w.links, rc, attempts++};
            if (compared && region->fresh(region, &walked, place))
                continue;
            return rc;
        }
        rc = velo_root_attach(region, place->text.path, w.length);
        if (rc == -ENOENT || rc == -ENOTDIR)
            velo_walker_remember(&w);
        else if (rc != 0)
            return rc;
    }
    return -ELOOP;
}

int velo_walk(struct velo_region *region, const char *text, unsigned flags,
              struct velo_place *place)
{
    return walk(region, VELO_NO_NODE, text, flags, place);
}

int velo_walk_at(struct velo_region *region, velo_node_id directory, const char *text,
                 unsigned flags, struct velo_place *place)
{
    return walk(region, text[0] == '/' ? VELO_NO_NODE : directory, text, flags, place);
}
