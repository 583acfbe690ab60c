/* border.c - rename across the border of hosted directories.
 *
 * What leaves or comes in is put on disk first, the kernel renames, and the namespace takes in the
 * result.  A file of which another name stays, or was there, is one file inside and outside from then
 * on (VELO_NODE_SHARED), so it leaves memory. */
#include "tree.h"

#include <errno.h>
#include <fcntl.h>

#include "file.h"
#include "lease.h"
#include "loosen.h"
#include "os.h"
#include "reconcile.h"

#define EVICTIONS_MAX 20

enum { NOREPLACE = 1, EXCHANGE = 2 }; /* RENAME_..., which only newer headers have */

/* Its other names will share the file with one outside. While somebody reads it it stays. */
static void leave_memory(struct velo_region *region, uint32_t node)
{
    for (int attempt = 0; attempt < EVICTIONS_MAX; attempt++) {
        if (velo_evict(region, node) != -EBUSY)
            return;
        const struct timespec moment = {0, 1000000}; /* a shard may be looking at it */
        velo_sys2(SYS_nanosleep, velo_word(&moment), 0);
    }
}

static int has_name_below(const struct velo_region *region, const struct velo_node *node,
                          uint32_t directory)
{
    for (uint32_t name = node->first_name; name != 0;
         name = velo_name_at(region, name)->next_of_node)
        if (velo_is_below(region, velo_name_at(region, name)->parent, directory))
            return 1;
    return 0;
}

/* What is in the store only must be in memory to be put. 0, or -EIO: it would stay behind. */
static int fetch_below(struct velo_region *region, uint32_t directory)
{
    const uint32_t used = VELO_READ(region->header->nodes.used);
    for (uint32_t index = 1; index < used; index++) {
        const struct velo_node *node = velo_node_at(region, index);
        struct velo_hold hold;
        if (VELO_READ(node->type) != VELO_REGULAR || VELO_READ(node->state) != VELO_COLD)
            continue;
        velo_begin(region, &hold);
        const int below = has_name_below(region, node, directory);
        velo_commit(region, &hold);
        if (below && velo_load(region, index) != 0)
            return -EIO;
    }
    return 0;
}

/* Whatever else the disk refused. */
static int all_below_on_disk(struct velo_region *region, uint32_t directory)
{
    const uint32_t used = VELO_READ(region->header->nodes.used);
    int found = 0;
    for (uint32_t index = 1; index < used && !found; index++) {
        const struct velo_node *node = velo_node_at(region, index);
        struct velo_hold hold;
        if (VELO_READ(node->type) != VELO_REGULAR)
            continue;
        velo_begin(region, &hold);
        found = has_name_below(region, node, directory) && !velo_on_disk(region, node);
        velo_commit(region, &hold);
    }
    return !found;
}

/* A directory leaves, and with it one of this file's names. */
static void leave_with(struct velo_region *region, uint32_t index, uint32_t directory)
{
    struct velo_node *node = velo_node_at(region, index);
    struct velo_hold hold;
    velo_begin(region, &hold);
    const uint32_t generation = node->generation;
    const int leaves = node->type != VELO_DIRECTORY && node->links > 1 &&
                       has_name_below(region, node, directory);
    velo_commit(region, &hold);
    if (!leaves)
        return;
    if (node->type == VELO_REGULAR)
        leave_memory(region, index);
    velo_begin(region, &hold);
    if (node->generation == generation && (node->type != VELO_REGULAR || node->state == VELO_DISK))
        velo_set32(region, &node->flags, node->flags | VELO_NODE_SHARED);
    velo_commit(region, &hold);
}

static void leave_with_all(struct velo_region *region, uint32_t directory)
{
    const uint32_t used = VELO_READ(region->header->nodes.used);
    for (uint32_t index = 1; index < used; index++) {
        const struct velo_node *node = velo_node_at(region, index);
        if (VELO_READ(node->type) > VELO_NONE && VELO_READ(node->links) > 1)
            leave_with(region, index, directory);
    }
}

/* Whatever the place is, have it on disk in its present form. */
static int put_place(struct velo_region *region, struct velo_place *place, int leaves)
{
    if (place->kind != VELO_HOSTED || place->type == VELO_NONE)
        return 0;
    if (place->type == VELO_REGULAR) {
        velo_fetch(region, place);
        const int rc = velo_put(region, place->node, 0);
        if (rc > 0 && leaves) /* what its writer writes from now on would stay behind */
            return -EXDEV;
        if (rc == 0 && leaves && VELO_READ(velo_node_at(region, place->node)->links) > 1)
            leave_memory(region, place->node);
        return rc < 0 ? rc : 0;
    }
    if (place->type != VELO_DIRECTORY)
        return 0;
    struct velo_put_result result;
    int rc = leaves ? fetch_below(region, place->node) : 0;
    if (rc != 0)
        return rc;
    rc = velo_put_all(region, 0, VELO_BATON_PATIENCE_MS, &result);
    if (rc == 0 && result.first_error != 0 && !all_below_on_disk(region, place->node))
        rc = result.first_error;
    if (rc == 0 && leaves)
        leave_with_all(region, place->node);
    return rc;
}

/* Whoever wrote the file before it came in goes on: its size and times are the disk's to say. */
static void believe_no_size(struct velo_region *region, struct velo_place *place)
{
    if (velo_walk_again(region, VELO_WALK_NOFOLLOW, place) != 0 || place->type != VELO_REGULAR)
        return;
    const int fd = velo_open_lent(region, place->node, VELO_ID_DISK, place->path,
                                     O_NONBLOCK | O_NOFOLLOW);
    const int quiet = fd >= 0 && velo_nobody_writes(fd);
    if (fd >= 0)
        velo_os_close(fd);
    if (quiet)
        return;
    struct velo_hold hold;
    velo_begin(region, &hold);
    struct velo_node *node = velo_node_at(region, place->node);
    if (node->type == VELO_REGULAR && node->state == VELO_DISK)
        velo_set64(region, &node->settled, 0);
    velo_commit(region, &hold);
}

/* After the kernel's rename: the namespace looks at the disk. */
static void take_in(struct velo_region *region, struct velo_place *place)
{
    if (place->kind != VELO_HOSTED)
        return;
    if (place->node != 0 && place->node == place->root)
        velo_root_forget(region, place->root);
    else if (velo_revalidate(region, place) == 0)
        believe_no_size(region, place);
}

/* What the kernel cannot tell because a file is not on disk, or a slash at the end not in `path`. */
static int check_border(const struct velo_place *from, const struct velo_place *to, unsigned flags)
{
    struct stat stat;
    int directory = from->type == VELO_DIRECTORY;
    if ((flags & EXCHANGE) != 0 && to->kind == VELO_HOSTED && to->type == VELO_NONE)
        return -ENOENT;
    if (from->kind == VELO_OUTSIDE) {
        const int rc = velo_os_lstat(from->path, &stat);
        if (rc != 0)
            return rc;
        directory = S_ISDIR(stat.st_mode);
    }
    if (!directory && (from->must_be_directory || to->must_be_directory))
        return -ENOTDIR;
    if (directory && (flags & EXCHANGE) == 0 && to->kind == VELO_HOSTED &&
        to->type == VELO_REGULAR)
        return (flags & NOREPLACE) != 0 ? -EEXIST : -ENOTDIR;
    return 0;
}

struct left {
    uint32_t node, generation;
};

/* A name of the file went out, perhaps. */
static void see_other_names(struct velo_region *region, const struct left *left)
{
    const struct velo_node *node = velo_node_at(region, left->node);
    if (left->node != 0 && VELO_READ(node->generation) == left->generation &&
        VELO_READ(node->state) != VELO_BACKED && VELO_READ(node->links) != 0)
        velo_unbacked_changed(region, left->node, 0);
}

int velo_rename_across(struct velo_region *region, struct velo_place *from,
                           struct velo_place *to, unsigned flags)
{
    const int leaves = from->kind != to->kind;
    const struct left left = {from->type == VELO_DIRECTORY ? 0 : from->node, from->generation};
    int rc = check_border(from, to, flags);
    if (rc == 0)
        rc = put_place(region, from, leaves);
    if (rc == 0 && to->type != VELO_REGULAR) /* a file that will be replaced need not be there */
        rc = put_place(region, to, leaves);
    if (rc == 0 && (flags & (EXCHANGE | NOREPLACE)) != 0)
        rc = put_place(region, to, leaves);
    if (rc != 0)
        return rc;
    velo_escape(region, VELO_ESCAPE_BORDER);
    rc = velo_os_renameat(AT_FDCWD, from->path, AT_FDCWD, to->path, flags);
    if (rc == 0) {
        take_in(region, from);
        take_in(region, to);
        if (leaves)
            see_other_names(region, &left);
    }
    return rc;
}
