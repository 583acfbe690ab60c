/* attr.c - attributes: stat in its forms, access, chmod, chown, times.
 *
 * Of a BACKED file the kernel's tmpfs inode is the truth (somebody may be writing it) until a shard
 * has seen that nobody writes and "settled" the attributes into the node; then stat is a read of
 * memory.  Links, device and inode number always come from the namespace. */
#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "file.h"
#include "os.h"
#include "poison.h"
#include "reconcile.h"

#define ATTEMPTS_MAX 1000

/* ---- stat ------------------------------------------------------------------------------------ */

static uint64_t device_of(const struct velo_region *region, uint32_t index)
{
    const struct velo_node *node = velo_node_at(region, index);
    uint32_t directory = index;
    if (VELO_READ(node->type) != VELO_DIRECTORY)
        directory = VELO_READ(velo_name_at(region, VELO_READ(node->first_name))->parent);
    const uint64_t device =
        VELO_READ(velo_node_at(region, directory)->identity[VELO_ID_DISK].device);
    if (device != 0)
        return device;
    /* Unlinked: any hosted directory's device is the best guess, and with one disk the right one. */
    const uint32_t root = VELO_READ(region->header->roots[0].node);
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

static void identify(const struct velo_region *region, uint32_t index, struct stat *out)
{
    const struct velo_node *node = velo_node_at(region, index);
    out->st_dev = device_of(region, index);
    out->st_ino = velo_inode_number(node, index);
    out->st_nlink = VELO_READ(node->type) == VELO_DIRECTORY
                        ? 2 + VELO_READ(node->subdirectories)
                        : VELO_READ(node->links);
    out->st_ctim = velo_timespec(velo_ctime_of(node, velo_ns(&out->st_ctim)));
}

/* Where the truth is when it is not in the node, and what the node knows all the same. */
struct velo_elsewhere {
    char path[320]; /* "": the real path */
    int shared;     /* with names outside: all is the kernel's to say */
    struct velo_node node; /* a copy, for its times */
};

/* What stat can say without asking the kernel. 0, VELO_AGAIN (the kernel knows: see *elsewhere),
 * -ENOENT. */
static int stat_from_memory(struct velo_region *region, const struct velo_place *place,
                            struct stat *out, struct velo_elsewhere *elsewhere)
{
    const struct velo_node *node = velo_node_at(region, place->node);
    if (VELO_READ(node->generation) != place->generation || VELO_READ(node->type) == VELO_NONE)
        return -ENOENT;
    from_node(node, out);
    identify(region, place->node, out);
    elsewhere->path[0] = 0;
    elsewhere->node.ctime_ns = VELO_READ(node->ctime_ns);
    elsewhere->node.copied_ns = VELO_READ(node->copied_ns);
    elsewhere->shared = (VELO_READ(node->flags) & VELO_NODE_SHARED) != 0;
    if (!elsewhere->shared && (VELO_READ(node->type) != VELO_REGULAR ||
                               VELO_READ(node->settled) == VELO_READ(node->version)))
        return 0;
    if (VELO_READ(node->state) == VELO_BACKED)
        velo_backing_path(region, VELO_READ(node->backing), elsewhere->path);
    return VELO_AGAIN;
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

static void queried(struct velo_region *region, uint32_t index)
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

int velo_stat(struct velo_region *region, struct velo_place *place, struct stat *out)
{
    if (place->kind == VELO_OUTSIDE)
        return velo_os_lstat(place->path, out);
    for (int attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        struct velo_elsewhere elsewhere;
        if (place->type == VELO_NONE)
            return -ENOENT;
        int rc = stat_steadily(region, place, out, &elsewhere);
        if (rc == 0) {
            queried(region, place->node);
            shown(region, out);
            return 0;
        }
        if (rc == VELO_AGAIN) {
            const struct stat known = *out;
            rc = velo_os_lstat(elsewhere.path[0] != 0 ? elsewhere.path : place->path, out);
            if (rc == 0) {
                if (!elsewhere.shared)
                    correct(&known, &elsewhere.node, out);
                shown(region, out);
                return 0;
            }
        }
        if (rc != -ENOENT)
            return rc;
        rc = velo_walk_again(region, VELO_WALK_NOFOLLOW, place);
        if (rc != 0)
            return rc;
    }
    return -ENOENT;
}

/* A descriptor by O_PATH of what was the file's memory: `st` is of nothing any more. */
static int left_memory(const struct velo_region *region, uint32_t index, const struct stat *st)
{
    const struct velo_node *node = velo_node_at(region, index);
    return st->st_nlink == 0 && st->st_dev == region->header->arena_device &&
           VELO_READ(node->state) != VELO_BACKED && VELO_READ(node->links) != 0;
}

/* Likewise of the file on disk, and since then it came into memory. */
static int left_disk(const struct velo_region *region, uint32_t index, const struct stat *st)
{
    const struct velo_node *node = velo_node_at(region, index);
    return VELO_READ(node->state) == VELO_BACKED && VELO_READ(node->links) != 0 &&
           VELO_READ(node->identity[VELO_ID_ARENA].inode) != st->st_ino;
}

__attribute__((noinline)) static int stat_of_node(struct velo_region *region, uint32_t index,
                                                  struct stat *st)
{
    struct velo_place place;
    char path[PATH_MAX];
    return velo_path_of(region, index, path) > 0 &&
           velo_walk(region, path, VELO_WALK_NOFOLLOW, &place) == 0 && place.node == index &&
           velo_stat(region, &place, st) == 0;
}

int velo_fstat_fix(struct velo_region *region, struct stat *st)
{
    for (int attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        const uint32_t index = velo_node_of(region, st);
        if (index == 0)
            break;
        if ((left_memory(region, index, st) || left_disk(region, index, st)) &&
            stat_of_node(region, index, st))
            return 1; /* else its name went meanwhile: what the node knows must do */
        const uint64_t sequence = velo_read_begin(region);
        const struct velo_node *node = velo_node_at(region, index);
        const int type = VELO_READ(node->type);
        struct stat fixed = *st;
        if ((VELO_READ(node->flags) & VELO_NODE_SHARED) != 0) {
            shown(region, st); /* as it is */
            return 1;
        }
        if (type == VELO_DIRECTORY ||
            (type == VELO_REGULAR && VELO_READ(node->settled) == VELO_READ(node->version) &&
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

int velo_is_shared(const struct velo_region *region, uint32_t node)
{
    return (VELO_READ(velo_node_at(region, node)->flags) & VELO_NODE_SHARED) != 0;
}

int velo_access(struct velo_region *region, struct velo_place *place, int mode, int flags)
{
    if (place->kind == VELO_HOSTED && place->type == VELO_NONE)
        return -ENOENT;
    if (place->kind == VELO_HOSTED && mode == F_OK)
        return 0;
    char path[PATH_MAX];
    for (int attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        int rc = velo_kernel_path(region, place, 0, path);
        if (rc != 0)
            return rc;
        rc = velo_os_access(path, mode, place->type == VELO_SYMLINK
                                            ? flags | AT_SYMLINK_NOFOLLOW /* the walk has not */
                                            : flags & ~AT_SYMLINK_NOFOLLOW);
        if (rc != -ENOENT)
            return rc;
        rc = velo_walk_again(region, VELO_WALK_NOFOLLOW, place);
        if (rc != 0 || place->type == VELO_NONE)
            return rc != 0 ? rc : -ENOENT;
    }
    return -ENOENT;
}

/* ---- changes --------------------------------------------------------------------------------- */

/* One native call on the path where the truth is, then the same in the namespace. */
typedef int (*change)(const char *path, const void *argument);

static void refresh_node(struct velo_region *region, uint32_t index, const char *path, int times)
{
    struct stat now;
    if (velo_os_lstat(path, &now) != 0)
        return;
    struct velo_hold hold;
    velo_begin(region, &hold);
    struct velo_node *node = velo_node_at(region, index);
    const int64_t mtime = node->mtime_ns, size = (int64_t)node->size, ctime = node->ctime_ns;
    /* By identity: meanwhile the path may lead elsewhere, and the slot be another file's. */
    if (node->type != VELO_NONE && node->identity[VELO_ID_DISK].inode == now.st_ino) {
        velo_take_stat_locked(region, index, &now);
        if (node->type == VELO_DIRECTORY && !times)
            velo_set_time(region, &node->mtime_ns, mtime); /* the disk's lacks hosted entries */
        if (node->type == VELO_DIRECTORY) {
            velo_set64(region, &node->size, (uint64_t)size);
            /* The kernel does not know to whom we showed the old one. */
            const int64_t ours = velo_stamp(region, (node->flags & VELO_NODE_QUERIED) != 0);
            const int is_now = times && node->mtime_ns == node->ctime_ns;
            if (ours > node->ctime_ns)
                velo_set_time(region, &node->ctime_ns, ours);
            if (is_now) /* UTIME_NOW: both are the same moment */
                velo_set_time(region, &node->mtime_ns, node->ctime_ns);
            velo_set32(region, &node->flags, node->flags & ~(uint32_t)VELO_NODE_QUERIED);
        }
        if (node->type != VELO_DIRECTORY && node->ctime_ns <= ctime) /* nor of these */
            velo_set_time(region, &node->ctime_ns, velo_stamp(region, 1));
        velo_names_seen_locked(region, index, &now);
        velo_shared_locked(region, index, &now);
    }
    velo_commit(region, &hold);
}

/* Of a file in memory: say that it changes before it does, so that a kill after the kernel's step
 * leaves a file that is asked, not believed. 1 with *backing, 0 when the disk has it, -ENOENT when
 * the slot is another file's by now. */
static int announce(struct velo_region *region, const struct velo_place *place, uint64_t *backing)
{
    struct velo_hold hold;
    velo_begin(region, &hold);
    const struct velo_node *node = velo_node_at(region, place->node);
    int rc = node->generation != place->generation ? -ENOENT : 0;
    if (rc == 0 && node->type == VELO_REGULAR && node->state == VELO_BACKED) {
        *backing = node->backing;
        velo_dirty_locked(region, place->node);
        velo_poison_put_locked(region, place->node);
        rc = 1;
    }
    return velo_finish(region, &hold, rc);
}

static void record(struct velo_region *region, const struct velo_place *place, const char *path)
{
    struct stat now;
    struct velo_hold hold;
    const int known = velo_os_lstat(path, &now);
    velo_begin(region, &hold);
    struct velo_node *node = velo_node_at(region, place->node);
    if (known == 0 && node->generation == place->generation && node->type == VELO_REGULAR) {
        velo_set32(region, &node->mode, now.st_mode);
        velo_set32(region, &node->uid, now.st_uid);
        velo_set32(region, &node->gid, now.st_gid);
        if (velo_looks_like_program(place->name, place->name_length, now.st_mode))
            velo_set32(region, &node->flags, node->flags | VELO_NODE_PROGRAM);
        velo_dirty_locked(region, place->node);
        velo_poison_put_locked(region, place->node);
    }
    velo_commit(region, &hold);
}

static int apply_once(struct velo_region *region, struct velo_place *place, change call,
                      const void *argument, int times)
{
    char path[320];
    uint64_t backing = 0;
    int rc = announce(region, place, &backing);
    if (rc < 0)
        return rc;
    const int backed = rc;
    if (backed)
        velo_backing_path(region, backing, path);
    rc = call(backed ? path : place->path, argument);
    if (rc == 0 && backed)
        record(region, place, path);
    else if (rc == 0)
        refresh_node(region, place->node, place->path, times);
    return rc;
}

static int apply(struct velo_region *region, struct velo_place *place, change call,
                 const void *argument, int times)
{
    if (place->kind == VELO_OUTSIDE)
        return call(place->path, argument);
    if (place->type == VELO_NONE)
        return -ENOENT;
    for (int attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        int rc = apply_once(region, place, call, argument, times);
        if (rc != -ENOENT)
            return rc;
        rc = velo_walk_again(region, VELO_WALK_NOFOLLOW, place);
        if (rc != 0 || place->type == VELO_NONE)
            return rc != 0 ? rc : -ENOENT;
    }
    return -ENOENT;
}

int velo_fetch(struct velo_region *region, struct velo_place *place)
{
    return place->kind == VELO_HOSTED ? velo_load(region, place->node) : 0;
}

static int call_chmod(const char *path, const void *argument)
{
    return velo_os_chmod(path, *(const mode_t *)argument);
}

int velo_chmod(struct velo_region *region, struct velo_place *place, mode_t mode)
{
    const int rc = velo_fetch(region, place);
    return rc != 0 ? rc : apply(region, place, call_chmod, &mode, 0);
}

struct owner {
    uid_t uid;
    gid_t gid;
};

static int call_chown(const char *path, const void *argument)
{
    const struct owner *owner = argument;
    return velo_os_chown(path, owner->uid, owner->gid);
}

int velo_chown(struct velo_region *region, struct velo_place *place, uid_t uid, gid_t gid)
{
    const struct owner owner = {uid, gid};
    const int rc = velo_fetch(region, place);
    return rc != 0 ? rc : apply(region, place, call_chown, &owner, 0);
}

static int call_utimens(const char *path, const void *argument)
{
    return velo_os_utimensat(AT_FDCWD, path, argument, AT_SYMLINK_NOFOLLOW);
}

int velo_utimens(struct velo_region *region, struct velo_place *place, const struct timespec t[2])
{
    const int rc = velo_fetch(region, place);
    return rc != 0 ? rc : apply(region, place, call_utimens, t, t[1].tv_nsec != UTIME_OMIT);
}

void velo_unbacked_changed(struct velo_region *region, uint32_t index, int times)
{
    char path[PATH_MAX];
    if (velo_path_of(region, index, path) > 0)
        refresh_node(region, index, path, times);
}

int velo_descriptor_changing(struct velo_region *region, int fd)
{
    struct stat now;
    if (velo_os_fstat(fd, &now) != 0)
        return 0;
    const uint32_t index = velo_node_of(region, &now);
    if (index == 0)
        return 0;
    struct velo_hold hold;
    velo_begin(region, &hold);
    const struct velo_node *node = velo_node_at(region, index);
    if (node->type == VELO_REGULAR && node->state == VELO_BACKED)
        velo_dirty_locked(region, index);
    velo_commit(region, &hold);
    return 1;
}

void velo_descriptor_changed(struct velo_region *region, int fd, int times)
{
    struct stat now;
    if (velo_os_fstat(fd, &now) != 0)
        return;
    const uint32_t index = velo_node_of(region, &now);
    if (index == 0)
        return;
    struct velo_hold hold;
    velo_begin(region, &hold);
    struct velo_node *node = velo_node_at(region, index);
    const int backed = node->type == VELO_REGULAR && node->state == VELO_BACKED;
    if (backed) {
        velo_set32(region, &node->mode, now.st_mode);
        velo_set32(region, &node->uid, now.st_uid);
        velo_set32(region, &node->gid, now.st_gid);
        if ((now.st_mode & 0111) != 0)
            velo_set32(region, &node->flags, node->flags | VELO_NODE_PROGRAM);
        velo_dirty_locked(region, index);
        velo_poison_put_locked(region, index);
    }
    velo_commit(region, &hold);
    if (!backed)
        velo_unbacked_changed(region, index, times);
}

void velo_place_changed(struct velo_region *region, const struct velo_place *place)
{
    if (place->kind == VELO_HOSTED && place->node != 0 &&
        !(place->type == VELO_REGULAR &&
          VELO_READ(velo_node_at(region, place->node)->state) == VELO_BACKED))
        refresh_node(region, place->node, place->path, 0);
}

int velo_revalidate(struct velo_region *region, struct velo_place *place)
{
    if (place->kind != VELO_HOSTED || place->parent == 0)
        return 0;
    const int rc = velo_take_from_disk(region, place->parent, place->name, place->name_length);
    struct velo_hold hold;
    velo_begin(region, &hold); /* the kernel stamped the directory on disk, too */
    if (velo_node_at(region, place->parent)->type == VELO_DIRECTORY)
        velo_touch_locked(region, place->parent);
    velo_commit(region, &hold);
    return rc;
}
