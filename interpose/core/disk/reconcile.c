/* reconcile.c - making the namespace agree with what others left on disk.
 *
 * One comparison per name: what velo put (or found) there last, against what lstat says now.  A name
 * that is equal is found so without the lock.  Others are looked at again under the lock, where disk
 * and namespace change together (lock.h, L3).  So a file that a client creates meanwhile is never
 * mistaken for an outside change.  First sight is the same walk with nothing known yet. */
#include "reconcile.h"

#include <errno.h>
#include <string.h>

#include "disk_names.h"
#include "xattr.h"
#include "temporary.h"
#include "rights.h"
#include "mounts.h"
#include "kernel/dents.h"
#include "kernel/os.h"
#include "pass.h"
#include "retire.h"
#include "moved.h"
#include "core/tree/tree.h"
#include "core/tree/path.h"
#include "core/presence/watch.h"
#include "core/disk/root.h"
#include "core/disk/mounted.h"
#include "core/disk/compare.h"

#define REMOVALS_A_LOCK 16

static struct velo_pass *pass_new(struct velo_region *region, int recursive)
{
    struct velo_pass *pass = velo_os_memory(sizeof *pass);
    if (pass == NULL)
        return NULL;
    pass->region = region;
    pass->recursive = recursive;
    pass->mark = atomic_fetch_add(&region->header->mark, 1) + 1;
    return pass;
}

static void pass_free(struct velo_pass *pass)
{
    velo_os_unmap(pass, sizeof *pass);
}

/* ---- one directory --------------------------------------------------------------------------- */

static int vanished_locked(struct velo_pass *pass, int dirfd, velo_name_id index)
{
    struct velo_name *name = velo_name_at(pass->region, index);
    char text[VELO_NAME_MAX + 1];
    struct stat disk;
    if (VELO_READ(name->mark) == pass->mark || (name->flags & VELO_NAME_ON_DISK) == 0 ||
        velo_busy_writeback(pass->region, name))
        return 0;
    velo_name_text(pass->region, name, text);
    return velo_os_lstatat(dirfd, text, &disk) == -ENOENT;
}

/* Not when a wild store damaged it: what cannot be found cannot be taken out. */
static int can_be_found(const struct velo_region *region, velo_node_id directory,
                        velo_name_id index)
{
    char text[VELO_NAME_MAX + 1];
    const size_t length = velo_name_text(region, velo_name_at(region, index), text);
    return velo_same_name(velo_name_find(region, directory, text, length), index);
}

/* Take out names that the disk had and does not have any more. Returns 1 to be called again. */
static int drop_vanished(struct velo_pass *pass, int dirfd, velo_node_id directory)
{
    struct velo_region *region = pass->region;
    char tree[VELO_NAME_MAX + 1];
    size_t tree_length = 0;
    int removed = 0;
    struct velo_hold hold;
    velo_begin(region, &hold);
    velo_name_id next = velo_node_at(region, directory)->first_entry;
    while (velo_is_name(next) && removed < REMOVALS_A_LOCK && tree_length == 0) {
        const velo_name_id index = next;
        next = velo_name_at(region, index)->next_entry;
        if (!vanished_locked(pass, dirfd, index) || !can_be_found(region, directory, index))
            continue;
        pass->result.vanished++;
        removed++;
        if (velo_node_at(region, velo_name_at(region, index)->node)->type == VELO_DIRECTORY)
            tree_length = velo_name_text(region, velo_name_at(region, index), tree);
        else if (velo_is_dirty_file(region, index))
            velo_name_disk_locked(region, index, 0, NULL); /* the newer version lives on */
        else
            velo_file_gone_locked(region, index);
    }
    velo_commit(region, &hold);
    if (tree_length != 0)
        velo_forget_moved(region, directory, tree, tree_length);
    return removed != 0;
}

static int scan_names(struct velo_pass *pass, int dirfd, velo_node_id directory)
{
    struct velo_dents all = {.fd = dirfd, .buffer = pass->dents, .size = sizeof pass->dents};
    for (const struct velo_dent *dent; (dent = velo_dents_next(&all)) != NULL;) {
        const char *name = dent->name;
        if (name[0] == '.' && (name[1] == 0 || (name[1] == '.' && name[2] == 0)))
            continue;
        if (velo_is_temporary(name)) {
            velo_temporary_found(pass->region, directory, dirfd, name);
            continue;
        }
        const int rc = velo_compare_name(pass, dirfd, directory, name);
        if (rc != 0)
            return rc;
    }
    return all.got == -ENOENT ? 0 : (int)all.got; /* removed meanwhile: nothing is in it */
}

/* Opens the directory itself, or the one that an outsider has put in its place. */
static int open_to_search(struct velo_pass *pass, velo_node_id directory)
{
    const int fd = velo_open_at_path(pass->region, directory);
    if (fd != -ESTALE || velo_path_of(pass->region, directory, pass->path) < 0)
        return fd;
    return velo_os_open(pass->path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
}

/* Retires the first directory that may go, from here up: all below it must be as the disk has it. */
static int retire_some(struct velo_pass *pass, velo_node_id directory)
{
    int rc = -ENOSPC;
    for (uint32_t depth = 0; rc != 0 && velo_is_node(directory) && depth < VELO_DEPTH_MAX;
         depth++) {
        rc = velo_retire_found(pass->region, directory);
        directory = VELO_READ_ID(velo_node_at(pass->region, directory)->parent);
    }
    return rc;
}

/* Opens the directory to read its names. If it can be reached but not listed, it becomes the kernel's. */
static int open_to_list(struct velo_pass *pass, velo_node_id directory)
{
    const int fd = open_to_search(pass, directory);
    const int dirfd = velo_read_directory(fd);
    if (fd >= 0 && dirfd == -EACCES)
        velo_close_directory(pass->region, directory);
    return dirfd;
}

static int run(struct velo_pass *pass);

/* The directory was closed, and can be listed now perhaps. No walk leads there before all below is known. */
static int take_in_closed(struct velo_region *region, velo_node_id directory)
{
    struct velo_pass *pass = pass_new(region, 1);
    if (pass == NULL)
        return -ENOMEM;
    pass->unsure = 1; /* programs may be writing there, which the kernel served until now */
    pass->closed = directory;
    velo_enqueue(pass, directory);
    const int rc = run(pass);
    if (rc == 0 && pass->listed)
        velo_reopen_directory(region, directory);
    pass_free(pass);
    return rc;
}

static int is_closed(const struct velo_region *region, velo_node_id directory)
{
    return (VELO_READ(velo_node_at(region, directory)->flags) & VELO_NODE_CLOSED) != 0;
}

/* Is the directory out of sight? While a closed directory is taken in, that one does not count. */
static int is_hidden(const struct velo_pass *pass, velo_node_id directory)
{
    const struct velo_region *region = pass->region;
    if (!velo_is_node(pass->closed) || !velo_is_below(region, directory, pass->closed))
        return velo_is_covered(region, directory);
    return velo_is_covered(region, VELO_READ_ID(velo_node_at(region, pass->closed)->parent));
}

static int scan_directory(struct velo_pass *pass, velo_node_id directory)
{
    struct velo_region *region = pass->region;
    if (is_closed(region, directory) && !velo_same_node(directory, pass->closed))
        return take_in_closed(region, directory);
    if (is_hidden(pass, directory) || velo_path_of(region, directory, pass->path) < 0)
        return 0; /* or it went meanwhile */
    velo_acl_probe(region, directory, pass->path);
    const int dirfd = open_to_list(pass, directory);
    if (dirfd < 0)
        return dirfd == -ENOENT || dirfd == -ENOTDIR || dirfd == -EACCES ? 0 : dirfd;
    pass->listed = 1;
    int rc = scan_names(pass, dirfd, directory);
    while (rc == 0 && drop_vanished(pass, dirfd, directory)) {
    }
    if (rc == -ENOSPC)
        rc = retire_some(pass, directory);
    else if (rc == 0 && velo_names_are_scarce(region))
        velo_retire_found(region, directory); /* if it may: these were the last that fit */
    velo_os_close(dirfd);
    return rc;
}

static int run(struct velo_pass *pass)
{
    int rc = 0;
    while (rc == 0 && pass->head < pass->tail)
        rc = scan_directory(pass, pass->queue[pass->head++]);
    return rc;
}

int velo_stale_locked(struct velo_region *region, velo_node_id directory)
{
    struct velo_node *node = velo_node_at(region, directory);
    if (!velo_is_node(directory) || node->type != VELO_DIRECTORY ||
        (node->flags & VELO_NODE_STALE) != 0)
        return 0;
    velo_set32(region, &node->flags, node->flags | VELO_NODE_STALE);
    return 1;
}

void velo_stale(struct velo_region *region, velo_node_id directory)
{
    struct velo_hold hold;
    velo_begin(region, &hold);
    velo_stale_locked(region, directory);
    velo_commit(region, &hold);
}

/* After the look, so that a process that is killed while it looks leaves the mark; and not when another
 * process was killed meanwhile, perhaps in this very directory. */
void velo_not_stale(struct velo_region *region, velo_node_id directory, uint64_t recoveries)
{
    struct velo_hold hold;
    velo_begin(region, &hold);
    struct velo_node *node = velo_node_at(region, directory);
    if (node->type == VELO_DIRECTORY && atomic_load(&region->header->recoveries) == recoveries)
        velo_set32(region, &node->flags, node->flags & ~(uint32_t)VELO_NODE_STALE);
    velo_commit(region, &hold);
}

int velo_directory_refresh(struct velo_region *region, velo_node_id directory)
{
    struct velo_pass *pass = pass_new(region, 0);
    if (pass == NULL)
        return -ENOMEM;
    const uint64_t recoveries = atomic_load(&region->header->recoveries);
    velo_enqueue(pass, directory);
    const int rc = run(pass);
    pass_free(pass);
    if (rc == 0)
        velo_not_stale(region, directory, recoveries);
    return rc;
}

int velo_take_from_disk(struct velo_region *region, velo_node_id parent, const char *text,
                        size_t length)
{
    char name[VELO_NAME_MAX + 1];
    if (length > VELO_NAME_MAX)
        return -ENAMETOOLONG;
    memcpy(name, text, length);
    name[length] = 0;
    struct velo_pass *pass = pass_new(region, 0);
    const int dirfd = pass == NULL ? -ENOMEM : open_to_search(pass, parent);
    int rc = dirfd;
    if (velo_says_absent(dirfd))
        velo_forget(region, parent, name, length);
    if (pass == NULL)
        return -ENOMEM;
    if (dirfd >= 0) {
        rc = velo_replace_name(pass, dirfd, parent, name);
        velo_os_close(dirfd);
        pass->unsure = 1; /* a process that wrote below it before it was renamed in goes on */
        if (rc == 0)
            rc = run(pass);
    }
    pass_free(pass);
    return rc < 0 ? rc : 0;
}

int velo_tree_take_in(struct velo_region *region, velo_node_id directory)
{
    struct velo_pass *pass = pass_new(region, 1);
    if (pass == NULL)
        return -ENOMEM;
    velo_enqueue(pass, directory);
    const int rc = run(pass);
    pass_free(pass);
    return rc;
}

/* ---- everything ------------------------------------------------------------------------------ */

/* Is the directory at the path of a root another one than the root, which has a tether? */
static int is_another(const struct velo_region *region, velo_node_id root, const struct stat *disk)
{
    const struct velo_node *node = velo_node_at(region, root);
    return atomic_load(&node->tether) != 0 && (node->identity[VELO_ID_DISK].inode != disk->st_ino ||
                                               node->identity[VELO_ID_DISK].device != disk->st_dev);
}

/* Is a root no more at its path? `disk` is what stands there if not. -errno: this process is not let through
 * to the path, or met an error, and has learnt nothing. */
static int is_lost(struct velo_region *region, const struct velo_root *root, struct stat *disk)
{
    if (velo_has_mounts(region) && velo_mounted_root(region, root))
        return -EBUSY;
    const int rc = velo_os_lstat(root->path, disk);
    if (rc != 0)
        return velo_says_absent(rc) ? 1 : rc;
    return !S_ISDIR(disk->st_mode) || is_another(region, root->node, disk);
}

static int reconcile_root(struct velo_pass *pass, uint32_t slot)
{
    struct velo_region *region = pass->region;
    const struct velo_root *root = &region->header->roots[slot];
    struct stat disk;
    const int lost = is_lost(region, root, &disk);
    if (lost > 0) {
        pass->result.vanished++;
        velo_flush_tethered(region, root->node);
        velo_root_forget(region, root->node);
    }
    if (lost != 0)
        return 0;
    struct velo_hold hold;
    velo_begin(region, &hold);
    velo_identity_set_locked(region, root->node, VELO_ID_DISK, disk.st_dev, disk.st_ino);
    velo_set32(region, &velo_node_at(region, root->node)->mode, disk.st_mode);
    velo_commit(region, &hold);
    velo_enqueue(pass, root->node);
    return run(pass);
}

static void root_lost(struct velo_region *region, velo_node_id node)
{
    const uint32_t slot = VELO_READ(velo_node_at(region, node)->root_slot);
    struct velo_pass *pass = slot == 0 || slot > VELO_ROOTS_MAX ? NULL : pass_new(region, 0);
    if (pass == NULL)
        return;
    reconcile_root(pass, slot - 1);
    pass_free(pass);
}

/* The topmost directory that is lost decides: all below it went along. */
void velo_directory_lost(struct velo_region *region, velo_node_id directory)
{
    velo_node_id top = directory;
    for (uint32_t depth = 0; velo_is_node(directory) && depth < VELO_DEPTH_MAX; depth++) {
        const int fd = velo_open_directory(region, directory);
        if (fd >= 0)
            velo_os_close(fd);
        if (fd == -ESTALE)
            top = directory;
        directory = VELO_READ_ID(velo_node_at(region, directory)->parent);
    }
    const velo_node_id above = VELO_READ_ID(velo_node_at(region, top)->parent);
    if (velo_is_node(above))
        velo_directory_refresh(region, above);
    else
        root_lost(region, top);
}

int velo_lost_roots(struct velo_region *region, int forget)
{
    int count = 0;
    struct stat disk;
    for (uint32_t i = 0; i < velo_roots_used(region); i++) {
        const struct velo_root *root = &region->header->roots[i];
        const velo_node_id node = VELO_READ_ID(root->node);
        if (!velo_is_node(node) || is_lost(region, root, &disk) <= 0)
            continue;
        count++;
        if (forget)
            root_lost(region, node);
    }
    return count;
}

int velo_reconcile(struct velo_region *region, velo_conflict conflict, void *context,
                   struct velo_reconcile_result *result)
{
    struct velo_pass *pass = pass_new(region, 1);
    if (pass == NULL)
        return -ENOMEM;
    velo_watchers_reap(region);
    pass->conflict = conflict;
    pass->context = context;
    const uint32_t over = velo_mounts_scan(region, NULL, 0);
    velo_links_unsure(region); /* what changed these directories may have been elsewhere, too */
    int rc = velo_flush_lock_take(region, VELO_FLUSH_LOCK_PATIENCE_MS);
    if (rc == 0) {
        for (uint32_t i = 0; i < velo_roots_used(region) && rc == 0; i++)
            if (velo_is_node(region->header->roots[i].node))
                rc = reconcile_root(pass, i);
        velo_flush_lock_leave(region);
    }
    velo_mounts_over(region, over);
    *result = pass->result;
    pass_free(pass);
    return rc;
}
