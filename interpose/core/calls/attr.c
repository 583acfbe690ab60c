/* attr.c - attributes as they are asked for: stat in its forms, access.  Changes: setattr.c.
 *
 * Of a BACKED file the kernel's tmpfs inode is the truth, since a process may be writing it.  When a
 * shard has seen that no process writes, it refreshes the attributes in the node; then stat is a read
 * of memory.  Links, device and inode number always come from the namespace. */
#include "core/tree/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "core/arena/layout.h"
#include "core/tree/outcome.h"
#include "core/tree/snapshot.h"
#include "kernel/os.h"
#include "core/disk/missing.h"
#include "core/disk/poison.h"
#include "core/disk/reconcile.h"
#include "core/tree/stamps.h"
#include "core/calls/again.h"

#define ATTEMPTS_MAX 1000

/* ---- stat ------------------------------------------------------------------------------------ */

static uint64_t device_of(const struct velo_region *region, velo_node_id index)
{
    const struct velo_node *node = velo_node_at(region, index);
    velo_node_id directory = index;
    if (VELO_READ(node->type) != VELO_DIRECTORY)
        directory = VELO_READ_ID(velo_name_at(region, VELO_READ_ID(node->first_name))->parent);
    const uint64_t device =
        VELO_READ(velo_node_at(region, directory)->identity[VELO_ID_DISK].device);
    if (device != 0)
        return device;
    /* The file is unlinked: any hosted directory's device is the best guess, and with one disk the right one. */
    const velo_node_id root = VELO_READ_ID(region->header->roots[0].node);
    return VELO_READ(velo_node_at(region, root)->identity[VELO_ID_DISK].device);
}

static void from_node(const struct velo_node *node, struct stat *out)
{
    memset(out, 0, sizeof *out);
    out->st_mode = VELO_READ(node->mode);
    out->st_uid = VELO_READ(node->uid);
    out->st_gid = VELO_READ(node->gid);
    out->st_rdev = VELO_READ(node->rdev);
    out->st_size = (off_t)VELO_READ(node->size);
    out->st_blocks = (blkcnt_t)VELO_READ(node->blocks);
    out->st_blksize = 4096;
    out->st_atim = velo_timespec(VELO_READ(node->atime_ns));
    out->st_mtim = velo_timespec(VELO_READ(node->mtime_ns));
    out->st_ctim = velo_timespec(VELO_READ(node->ctime_ns));
}

static void identify(const struct velo_region *region, velo_node_id index, struct stat *out)
{
    const struct velo_node *node = velo_node_at(region, index);
    out->st_dev = device_of(region, index);
    out->st_ino = velo_inode_number(node, index);
    out->st_nlink = VELO_READ(node->type) == VELO_DIRECTORY ? 2 + VELO_READ(node->subdirectories)
                                                            : VELO_READ(node->links);
    out->st_ctim = velo_timespec(velo_ctime_of(node, velo_ns(&out->st_ctim)));
}

/* The file that has the attributes when the node has not, and what the node knows all the same. */
struct velo_elsewhere {
    char path[320]; /* "": the real path */
    int linked_outside;     /* with names outside: all is the kernel's to say */
    struct velo_node node; /* a copy, for its times */
};

/* What stat can say without asking the kernel. 0, VELO_ASK_THE_KERNEL (see *elsewhere), VELO_AGAIN. */
static int stat_from_memory(struct velo_region *region, const struct velo_place *place,
                            struct stat *out, struct velo_elsewhere *elsewhere)
{
    const struct velo_node *node = velo_node_at(region, place->at.node);
    if (VELO_READ(node->generation) != place->at.generation || VELO_READ(node->type) == VELO_NONE)
        return VELO_AGAIN;
    from_node(node, out);
    identify(region, place->at.node, out);
    elsewhere->path[0] = 0;
    elsewhere->node.ctime_ns = VELO_READ(node->ctime_ns);
    elsewhere->node.copied_ns = VELO_READ(node->copied_ns);
    elsewhere->linked_outside = (VELO_READ(node->flags) & VELO_NODE_LINKED_OUTSIDE) != 0;
    if (!elsewhere->linked_outside && (VELO_READ(node->type) != VELO_REGULAR ||
                                       VELO_READ(node->refreshed) == VELO_READ(node->version)))
        return 0;
    if (VELO_READ(node->state) == VELO_BACKED)
        velo_backing_path(region, VELO_READ(node->backing), elsewhere->path);
    return VELO_ASK_THE_KERNEL;
}

static int stat_steadily(struct velo_region *region, const struct velo_place *place,
                         struct stat *out, struct velo_elsewhere *elsewhere)
{
    for (int attempt = 0; attempt < 50; attempt++) {
        const uint64_t sequence = velo_read_begin(region);
        if ((sequence & 1) != 0)
            break;
        const int rc = stat_from_memory(region, place, out, elsewhere);
        if (!velo_read_retry(region, sequence))
            return rc;
    }
    struct velo_hold hold;
    velo_begin(region, &hold);
    const int rc = stat_from_memory(region, place, out, elsewhere);
    velo_commit(region, &hold);
    return rc;
}

static void queried(struct velo_region *region, velo_node_id index)
{
    struct velo_node *node = velo_node_at(region, index);
    if (VELO_READ(node->type) == VELO_DIRECTORY &&
        (VELO_READ(node->flags) & VELO_NODE_QUERIED) == 0) {
        struct velo_hold hold;
        velo_begin(region, &hold);
        if (node->type == VELO_DIRECTORY)
            velo_set32(region, &node->flags, node->flags | VELO_NODE_QUERIED);
        velo_commit(region, &hold);
    }
}

static void shown(struct velo_region *region, const struct stat *st)
{
    velo_raise_floor(region, velo_ns(&st->st_ctim)); /* an mtime may be any: it can be set */
}

/* What the node knows better than the kernel. */
static void correct(const struct stat *known, const struct velo_node *node, struct stat *out)
{
    out->st_dev = known->st_dev;
    out->st_ino = known->st_ino;
    out->st_nlink = known->st_nlink;
    out->st_ctim = velo_timespec(velo_ctime_of(node, velo_ns(&out->st_ctim)));
}

/* A mode that is new to us may be one that was lent (rights.c): not while we have the lock. */
static int probe_elsewhere(struct velo_region *region, const struct velo_elsewhere *elsewhere,
                           const struct velo_place *place, struct stat *out)
{
    const char *path = elsewhere->path[0] != 0 ? elsewhere->path : place->text.path;
    const mode_t known = out->st_mode;
    struct velo_hold hold;
    int rc = velo_os_lstat(path, out);
    if (rc == 0 && out->st_mode != known) {
        velo_begin(region, &hold);
        rc = velo_os_lstat(path, out);
        velo_commit(region, &hold);
    }
    return rc;
}

int velo_stat(struct velo_region *region, struct velo_place *place, struct stat *out)
{
    if (place->at.kind == VELO_OUTSIDE)
        return velo_os_lstat(place->text.path, out);
    for (int attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        struct velo_elsewhere elsewhere;
        if (place->at.type == VELO_NONE)
            return -ENOENT;
        int rc = stat_steadily(region, place, out, &elsewhere);
        if (rc == 0) {
            queried(region, place->at.node);
            shown(region, out);
            return 0;
        }
        if (rc == VELO_ASK_THE_KERNEL) {
            const struct stat known = *out;
            rc = probe_elsewhere(region, &elsewhere, place, out);
            if (rc == 0) {
                if (!elsewhere.linked_outside)
                    correct(&known, &elsewhere.node, out);
                shown(region, out);
                return 0;
            }
        }
        if (rc != VELO_AGAIN && rc != -ENOENT) /* the kernel's: gone, or renamed */
            return rc;
        if (rc == -ENOENT)
            velo_missing_ask(region, place->at.node);
        rc = velo_walk_again(region, VELO_WALK_NOFOLLOW, place);
        if (rc != 0)
            return rc;
    }
    return -ENOENT;
}

/* `st` is of an O_PATH descriptor of the file's former tmpfs file, which is no file's any more. */
static int left_memory(const struct velo_region *region, velo_node_id index, const struct stat *st)
{
    const struct velo_node *node = velo_node_at(region, index);
    return st->st_nlink == 0 && st->st_dev == region->header->arena_device &&
           VELO_READ(node->state) != VELO_BACKED && VELO_READ(node->links) != 0;
}

/* `st` is of a descriptor of the file on disk, and since then the file came into memory. */
static int left_disk(const struct velo_region *region, velo_node_id index, const struct stat *st)
{
    const struct velo_node *node = velo_node_at(region, index);
    return VELO_READ(node->state) == VELO_BACKED && VELO_READ(node->links) != 0 &&
           VELO_READ(node->identity[VELO_ID_ARENA].inode) != st->st_ino;
}

__attribute__((noinline)) static int stat_of_node(struct velo_region *region, velo_node_id index,
                                                  struct stat *st)
{
    struct velo_place place;
    char path[PATH_MAX];
    return velo_path_of(region, index, path) > 0 &&
           velo_walk(region, path, VELO_WALK_NOFOLLOW, &place) == 0 &&
           velo_same_node(place.at.node, index) && velo_stat(region, &place, st) == 0;
}

int velo_fstat_fix(struct velo_region *region, struct stat *st)
{
    for (int attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        const velo_node_id index = velo_node_of(region, st);
        if (!velo_is_node(index))
            break;
        if ((left_memory(region, index, st) || left_disk(region, index, st)) &&
            stat_of_node(region, index, st))
            return 1; /* else its name went meanwhile: what the node knows must do */
        const uint64_t sequence = velo_read_begin(region);
        const struct velo_node *node = velo_node_at(region, index);
        const int type = VELO_READ(node->type);
        struct stat fixed = *st;
        if ((VELO_READ(node->flags) & VELO_NODE_LINKED_OUTSIDE) != 0) {
            shown(region, st); /* as it is */
            return 1;
        }
        if (type == VELO_DIRECTORY ||
            (type == VELO_REGULAR && VELO_READ(node->refreshed) == VELO_READ(node->version) &&
             !velo_opaque_runs(region))) {
            from_node(node, &fixed); /* copies and loads gave the kernel's inode a later ctime */
            fixed.st_atim = type == VELO_REGULAR ? st->st_atim : fixed.st_atim;
        }
        identify(region, index, &fixed);
        if (type != VELO_REGULAR && type != VELO_DIRECTORY)
            fixed.st_ctim = st->st_ctim;
        if ((sequence & 1) != 0 || velo_read_retry(region, sequence))
            continue;
        queried(region, index);
        shown(region, &fixed);
        *st = fixed;
        return 1;
    }
    return 0;
}

int velo_is_linked_outside(const struct velo_region *region, velo_node_id node)
{
    return (VELO_READ(velo_node_at(region, node)->flags) & VELO_NODE_LINKED_OUTSIDE) != 0;
}

int velo_access(struct velo_region *region, struct velo_place *place, int mode, int flags)
{
    if (place->at.kind == VELO_HOSTED && place->at.type == VELO_NONE)
        return -ENOENT;
    if (place->at.kind == VELO_HOSTED && mode == F_OK)
        return 0;
    char path[PATH_MAX];
    for (int attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        int rc = velo_kernel_path(region, place, 0, path);
        if (rc != 0)
            return rc;
        rc = velo_os_access(path, mode,
                            place->at.type == VELO_SYMLINK
                                ? flags | AT_SYMLINK_NOFOLLOW /* the walk has not */
                                : flags & ~AT_SYMLINK_NOFOLLOW);
        if (rc != -ENOENT)
            return rc;
        rc = velo_try_again(region, place);
        if (rc != 0)
            return rc;
    }
    return -ENOENT;
}

ssize_t velo_readlink(struct velo_region *region, struct velo_place *place, char *out, size_t size)
{
    if (place->at.type == VELO_NONE)
        return -ENOENT;
    if (place->at.type != VELO_SYMLINK)
        return -EINVAL;
    if (size == 0)
        return -EINVAL;
    (void)region; /* a symlink is always on disk too, and this call is rare */
    return velo_os_readlinkat(AT_FDCWD, place->text.path, out, size);
}
