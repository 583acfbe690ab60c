/* compare.c - one name: what the namespace believes against what lstat says, and which is right.
 *
 * A name that is equal is found so without the lock; all others are looked at again under it.  See
 * reconcile.c. */
#include "pass.h"

#include <errno.h>
#include <string.h>

#include "disk_names.h"
#include "moved.h"
#include "mirror.h"
#include "temporary.h"
#include "mounts.h"
#include "kernel/os.h"
#include "poison.h"
#include "core/arena/process.h"
#include "reconcile.h"
#include "core/tree/tree.h"
#include "core/tree/path.h"
#include "core/disk/mounted.h"
#include "core/disk/compare.h"

void velo_enqueue(struct velo_pass *pass, velo_node_id directory)
{
    if (pass->tail < VELO_QUEUE_MAX)
        pass->queue[pass->tail++] = directory;
}

static enum velo_type type_of(mode_t mode)
{
    if (S_ISREG(mode))
        return VELO_REGULAR;
    if (S_ISDIR(mode))
        return VELO_DIRECTORY;
    return S_ISLNK(mode) ? VELO_SYMLINK : VELO_OTHER;
}

static int same_as_written_back(const struct velo_name *name, const struct velo_node *node,
                                const struct stat *disk)
{
    /* An older version may have names of other files, too, whose every step is a new ctime. */
    const int older = VELO_READ(node->type) == VELO_REGULAR &&
                      VELO_READ(node->identity[VELO_ID_DISK].inode) != disk->st_ino;
    return (VELO_READ(name->flags) & VELO_NAME_ON_DISK) != 0 &&
           VELO_READ(name->disk_inode) == disk->st_ino &&
           VELO_READ(name->disk_size) == (uint64_t)disk->st_size &&
           VELO_READ(name->disk_mtime_ns) == velo_ns(&disk->st_mtim) &&
           (older || VELO_READ(name->disk_ctime_ns) == velo_ns(&disk->st_ctim));
}

/* Nothing to do for this name? Directories are compared by identity: their times are ours. */
static int unchanged(const struct velo_region *region, velo_name_id index, const struct stat *disk)
{
    const struct velo_name *name = velo_name_at(region, index);
    const struct velo_node *node = velo_node_at(region, VELO_READ_ID(name->node));
    const int poison = VELO_READ(node->type) == VELO_REGULAR && velo_is_poison(region, disk);
    if (VELO_READ(node->type) != type_of(disk->st_mode) && !poison)
        return 0;
    if (VELO_READ(node->type) == VELO_DIRECTORY)
        return VELO_READ(node->identity[VELO_ID_DISK].inode) == disk->st_ino &&
               VELO_READ(node->mode) == disk->st_mode && VELO_READ(node->uid) == disk->st_uid &&
               VELO_READ(node->gid) == disk->st_gid;
    return same_as_written_back(name, node, disk);
}

int velo_agrees(const struct velo_region *region, velo_node_id directory, const char *text,
                size_t length, int there, const struct stat *disk)
{
    const velo_name_id index = velo_name_find(region, directory, text, length);
    const struct velo_name *name = velo_name_at(region, index);
    if (!velo_is_name(index))
        return there != 0;
    if (velo_busy_writeback(region, name) || (there != 0 && there != -ENOENT))
        return 1;
    return there == 0 ? unchanged(region, index, disk)
                      : (VELO_READ(name->flags) & VELO_NAME_ON_DISK) == 0; /* in memory only */
}

static int is_copy_of(struct velo_pass *pass, const struct velo_name *name, const struct stat *disk)
{
    char text[VELO_NAME_MAX + 1];
    struct stat now;
    const size_t length = velo_name_text(pass->region, name, text);
    return velo_name_path(pass->region, name->parent, text, length, pass->target) > 0 &&
           velo_os_lstat(pass->target, &now) == 0 && now.st_ino == disk->st_ino &&
           now.st_dev == disk->st_dev;
}

/* A file's identity on disk may be old: the disk may have given that number to another file. So one of the
 * file's names must lead there, and to the current version. */
static int has_copy(struct velo_pass *pass, const struct velo_node *node, const struct stat *disk)
{
    uint32_t count = 0, steps = 0;
    int is_current = 0;
    for (velo_name_id index = node->first_name; velo_is_name(index) && node->state != VELO_COLD;
         index = velo_next_of_node(pass->region, index, &steps)) {
        const struct velo_name *name = velo_name_at(pass->region, index);
        if ((name->flags & VELO_NAME_ON_DISK) == 0 || name->disk_inode != disk->st_ino)
            continue;
        if (count++ == 0)
            is_current = (node->state == VELO_DISK || name->disk_version == node->version) &&
                         is_copy_of(pass, name, disk);
    }
    /* In memory it has no names outside (copy.c). */
    return is_current && (node->state == VELO_DISK || disk->st_nlink == count + 1);
}

static velo_node_id other_name_of(struct velo_pass *pass, const struct stat *disk)
{
    if (S_ISDIR(disk->st_mode) || disk->st_nlink < 2)
        return VELO_NO_NODE;
    const velo_node_id index = velo_identity_find(pass->region, disk->st_dev, disk->st_ino);
    const struct velo_node *node = velo_node_at(pass->region, index);
    if (!velo_is_node(index) || node->type != type_of(disk->st_mode) || node->links == 0)
        return VELO_NO_NODE;
    const int same = node->type != VELO_REGULAR ||
                     (node->state == VELO_DISK && (node->flags & VELO_NODE_LINKED_OUTSIDE) != 0) ||
                     has_copy(pass, node, disk);
    return same ? index : VELO_NO_NODE;
}

void velo_take_birth_locked(struct velo_region *region, velo_node_id index, int at,
                            const char *name)
{
    struct velo_node *node = velo_node_at(region, index);
    const int64_t birth = velo_os_birth_at(at, name);
    velo_set_time(region, &node->btime_ns, birth != 0 ? birth : node->ctime_ns);
}

static velo_node_id new_node_locked(struct velo_pass *pass, int dirfd, velo_node_id parent,
                                    const char *text, size_t length, const struct stat *disk)
{
    struct velo_region *region = pass->region;
    const velo_node_id index = velo_node_new_locked(region, type_of(disk->st_mode));
    if (!velo_is_node(index))
        return VELO_NO_NODE;
    struct velo_node *node = velo_node_at(region, index);
    const int path = velo_name_path(region, parent, text, length, pass->target);
    velo_take_stat_locked(region, index, disk);
    velo_take_birth_locked(region, index, dirfd, text);
    if (path == -ENAMETOOLONG)
        velo_set32(region, &node->flags, VELO_NODE_PATH_TOO_LONG);
    if (node->type == VELO_SYMLINK) {
        const long got = velo_os_readlinkat(dirfd, text, pass->target, PATH_MAX - 1);
        if (got <= 0)
            return VELO_NO_NODE;
        velo_set64(region, &node->size, (uint64_t)got);
        velo_set_chunk(region, &node->target,
                       velo_text_new_locked(region, pass->target, (size_t)got));
        if (!velo_is_chunk(node->target))
            return VELO_NO_NODE;
    } else if (node->type == VELO_REGULAR) {
        const uint32_t home = path < 0 ? 0 : velo_home_of(region, pass->target, (size_t)path);
        VELO_INIT(node->home, (uint16_t)home);
        velo_state_set_locked(region, index, VELO_DISK);
        velo_set64(region, &node->version, 1);
        velo_set64(region, &node->refreshed, !pass->unsure);
    }
    velo_identity_set_locked(region, index, VELO_ID_DISK, disk->st_dev, disk->st_ino);
    return index;
}

/* Enter a name that the disk has and the namespace has not. 0 or -ENOSPC. */
static int ingest_locked(struct velo_pass *pass, int dirfd, velo_node_id parent, const char *text,
                         size_t length, const struct stat *disk)
{
    struct velo_region *region = pass->region;
    velo_node_id node = other_name_of(pass, disk);
    if (!velo_is_node(node))
        node = new_node_locked(pass, dirfd, parent, text, length, disk);
    const velo_name_id name = !velo_is_node(node)
                                  ? VELO_NO_NAME
                                  : velo_name_enter_locked(region, parent, text, length, node);
    if (!velo_is_name(name))
        return -ENOSPC;
    velo_name_disk_locked(region, name, velo_node_at(region, node)->version, disk);
    velo_linked_outside_locked(region, node, disk);
    velo_not_linked_outside_locked(region, node, disk);
    VELO_INIT(velo_name_at(region, name)->mark, pass->mark);
    pass->result.ingested++;
    if (S_ISDIR(disk->st_mode))
        velo_enqueue(pass, node);
    return 0;
}

void velo_file_gone_locked(struct velo_region *region, velo_name_id name)
{
    const velo_node_id node = velo_name_at(region, name)->node;
    velo_name_remove_locked(region, name);
    if (velo_node_at(region, node)->links == 0)
        velo_node_drop_locked(region, node);
}

int velo_is_dirty_file(const struct velo_region *region, velo_name_id index)
{
    const struct velo_name *name = velo_name_at(region, index);
    const struct velo_node *node = velo_node_at(region, name->node);
    return node->type == VELO_REGULAR && node->state != VELO_DISK &&
           name->disk_version != node->version;
}

enum outcome { DONE = 0, FORGET_TREE = 1, REPORT = 2, REPLACED = 3, MIRROR = 4 };

/* The name exists in both and differs. */
static int changed_locked(struct velo_pass *pass, velo_name_id index, const struct stat *disk)
{
    struct velo_region *region = pass->region;
    struct velo_name *name = velo_name_at(region, index);
    struct velo_node *node = velo_node_at(region, name->node);
    VELO_INIT(name->mark, pass->mark);
    if (node->type == VELO_DIRECTORY && S_ISDIR(disk->st_mode)) {
        const int another = node->identity[VELO_ID_DISK].inode != disk->st_ino;
        if (another && atomic_load(&node->tether) != 0)
            return FORGET_TREE; /* what waits belongs to the one that was here */
        if (another) /* with other entries */
            velo_enqueue(pass, name->node);
        velo_take_stat_locked(region, name->node, disk);
        velo_identity_set_locked(region, name->node, VELO_ID_DISK, disk->st_dev, disk->st_ino);
        velo_name_disk_locked(region, index, 0, disk);
        return DONE;
    }
    if (node->type == VELO_DIRECTORY)
        return FORGET_TREE;
    if (node->type == VELO_REGULAR && node->state == VELO_DISK && S_ISREG(disk->st_mode) &&
        name->disk_inode == disk->st_ino) { /* written in place, maybe by us (open_direct) */
        pass->result.changed -= node->refreshed != node->version;
        velo_set64(region, &node->stored, 0);
        velo_take_stat_locked(region, name->node, disk);
        velo_names_record_locked(region, name->node, disk);
        velo_linked_outside_locked(region, name->node, disk);
        return DONE;
    }
    if (velo_is_dirty_file(region, index)) { /* memory wins; what is there is older */
        velo_name_disk_locked(region, index, 0, disk);
        return velo_is_poison(region, disk) ? DONE : REPORT;
    }
    if (node->type == VELO_REGULAR && node->state == VELO_BACKED && S_ISREG(disk->st_mode) &&
        name->disk_inode == disk->st_ino)
        return MIRROR; /* changed in place: it stays the same file, also where it is open */
    velo_file_gone_locked(region, index);
    return REPLACED; /* by what the caller enters: in one hold, so no reader finds neither */
}

static int compare_again_locked(struct velo_pass *pass, int dirfd, velo_node_id parent,
                                const char *text, size_t length)
{
    struct velo_region *region = pass->region;
    struct stat disk;
    const velo_name_id index = velo_name_find(region, parent, text, length);
    if (velo_is_name(index) && velo_busy_writeback(region, velo_name_at(region, index))) {
        VELO_INIT(velo_name_at(region, index)->mark, pass->mark);
        return DONE;
    }
    const int rc = velo_os_lstatat(dirfd, text, &disk);
    if (rc != 0)
        return DONE; /* it went: the sweep of unmarked names decides */
    if (velo_is_name(index))
        velo_writer_died_locked(region, index, &disk);
    if (!velo_is_name(index))
        return ingest_locked(pass, dirfd, parent, text, length, &disk);
    VELO_INIT(velo_name_at(region, index)->mark, pass->mark);
    if (unchanged(region, index, &disk))
        return DONE;
    pass->result.changed++;
    const int outcome = changed_locked(pass, index, &disk);
    return outcome == REPLACED ? ingest_locked(pass, dirfd, parent, text, length, &disk) : outcome;
}

static int quick_equal(struct velo_pass *pass, velo_node_id parent, const char *text, size_t length,
                       const struct stat *disk)
{
    struct velo_region *region = pass->region;
    const uint64_t sequence = velo_read_begin(region);
    const velo_name_id index = velo_name_find(region, parent, text, length);
    if ((sequence & 1) != 0 || !velo_is_name(index) || !unchanged(region, index, disk))
        return 0;
    const velo_node_id node = VELO_READ_ID(velo_name_at(region, index)->node);
    if (velo_read_retry(region, sequence))
        return 0;
    __atomic_store_n(&velo_name_at(region, index)->mark, pass->mark, __ATOMIC_RELAXED);
    if (pass->recursive && S_ISDIR(disk->st_mode))
        velo_enqueue(pass, node);
    return 1;
}

static void report(struct velo_pass *pass, velo_node_id parent, const char *text, size_t length)
{
    pass->result.conflicts++;
    char directory[VELO_NAME_MAX + 1];
    memcpy(directory, text, length + 1); /* text may lie in pass->dents: keep it */
    if (pass->conflict != NULL &&
        velo_name_path(pass->region, parent, directory, length, pass->target) > 0)
        pass->conflict(pass->context, pass->target);
}

int velo_compare_name(struct velo_pass *pass, int dirfd, velo_node_id parent, const char *text)
{
    const size_t length = strlen(text);
    struct stat disk;
    pass->result.seen++;
    const int mounted = velo_mounted_name(pass, dirfd, parent, text);
    if (mounted != 0)
        return mounted < 0 ? mounted : 0;
    if (length > VELO_NAME_MAX || velo_os_lstatat(dirfd, text, &disk) != 0)
        return 0;
    if (quick_equal(pass, parent, text, length, &disk))
        return 0;
    for (int again = 0; again < 3; again++) {
        struct velo_hold hold;
        velo_begin(pass->region, &hold);
        const int outcome = compare_again_locked(pass, dirfd, parent, text, length);
        const velo_name_id name = velo_name_find(pass->region, parent, text, length);
        const velo_node_id node =
            velo_is_name(name) ? velo_name_at(pass->region, name)->node : VELO_NO_NODE;
        const int known_directory =
            pass->recursive && velo_is_node(node) &&
            velo_node_at(pass->region, node)->type == VELO_DIRECTORY &&
            (pass->tail == 0 || !velo_same_node(pass->queue[pass->tail - 1], node));
        velo_finish(pass->region, &hold, outcome < 0 ? outcome : 0);
        const int crowded =
            outcome == -ENOSPC && again == 0; /* without the old one there is room */
        if (outcome < 0 && !crowded)
            return outcome;
        if (outcome == FORGET_TREE || crowded) {
            velo_forget_moved(pass->region, parent, text, length);
            continue;
        }
        if (outcome == MIRROR) {
            if (velo_evict(pass->region, node) != 0 &&
                velo_mirror_disk(pass->region, node, dirfd, text) != 0)
                velo_forget(pass->region, parent, text, length);
            continue;
        }
        if (outcome == REPORT)
            report(pass, parent, text, length);
        if (known_directory)
            velo_enqueue(pass, node);
        return 0;
    }
    return 0;
}

/* One try. FORGET_TREE: what has the name is to be forgotten first, which takes longer than a hold; or
 * a writer is putting it, which is to be awaited. */
static int replace_locked(struct velo_pass *pass, int dirfd, velo_node_id parent, const char *text,
                          size_t length)
{
    struct velo_region *region = pass->region;
    struct stat disk;
    const velo_name_id index = velo_name_find(region, parent, text, length);
    const int answer = velo_os_lstatat(dirfd, text, &disk), there = answer == 0;
    if (!there && !velo_says_absent(answer))
        return DONE;
    if (velo_is_name(index)) {
        const velo_node_id node = velo_name_at(region, index)->node;
        if (velo_node_at(region, node)->type == VELO_DIRECTORY ||
            velo_busy_writeback(region, velo_name_at(region, index)))
            return FORGET_TREE;
        if (there && !velo_is_dirty_file(region, index) && unchanged(region, index, &disk))
            return DONE; /* another process was here before us */
        velo_file_gone_locked(region, index);
    }
    return there ? ingest_locked(pass, dirfd, parent, text, length, &disk) : DONE;
}

int velo_replace_name(struct velo_pass *pass, int dirfd, velo_node_id parent, const char *text)
{
    const size_t length = strlen(text);
    const int mounted = velo_mounted_name(pass, dirfd, parent, text);
    if (mounted != 0)
        return mounted < 0 ? mounted : 0;
    for (int again = 0;; again++) {
        struct velo_hold hold;
        velo_begin(pass->region, &hold);
        const int rc = replace_locked(pass, dirfd, parent, text, length);
        velo_finish(pass->region, &hold, rc < 0 ? rc : 0);
        if (rc == DONE || again > 1)
            return rc < 0 ? rc : 0;
        velo_forget(pass->region, parent, text, length);
    }
}
