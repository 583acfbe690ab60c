/* root.c - hosted directories: found by their path, taken in before any walk sees them, forgotten.
 *
 * A root is built unpublished (velo_root.building) with the flush lock held: a process that is killed
 * over it leaves a tree that the next process goes on with. */
#include "reconcile.h"

#include <errno.h>
#include <string.h>

#include "compare.h"
#include "mounts.h"
#include "kernel/os.h"
#include "core/tree/tree.h"
#include "core/disk/root.h"
#include "core/disk/mounted.h"

/* ---- by the text of a path ------------------------------------------------------------------- */

int velo_pattern_matches(const struct velo_header *header, const char *path, size_t length)
{
    const size_t base = header->workspace_length;
    const int inside =
        length > base && memcmp(path, header->workspace, base) == 0 && path[base] == '/';
    for (uint32_t i = 0; i < velo_patterns_used(header); i++) {
        const size_t want = header->patterns[i].length;
        const char *text = header->patterns[i].text;
        if (header->patterns[i].absolute) {
            if (length == want && memcmp(path, text, want) == 0)
                return 1;
        } else if (inside && header->patterns[i].anchored) {
            if (length == base + 1 + want && memcmp(path + base + 1, text, want) == 0)
                return 1;
        } else if (inside && length > want && path[length - want - 1] == '/' &&
                   memcmp(path + length - want, text, want) == 0) {
            return 1;
        }
    }
    return 0;
}

velo_node_id velo_root_find(const struct velo_region *region, const char *path, size_t length)
{
    const struct velo_header *header = region->header;
    const uint32_t hash = velo_hash(0, path, length);
    const uint32_t count = velo_roots_used(region);
    for (uint32_t i = 0; i < count; i++) {
        const struct velo_root *root = &header->roots[i];
        if (VELO_READ(root->hash) == hash && velo_is_node(VELO_READ_ID(root->node)) &&
            root->length == length && memcmp(root->path, path, length) == 0)
            return VELO_READ_ID(root->node);
    }
    return VELO_NO_NODE;
}

int velo_may_host(const struct velo_region *region, const char *text)
{
    const struct velo_header *header = region->header;
    const size_t base = header->workspace_length, alias = header->alias_length;
    if (strncmp(text, header->workspace, base) == 0)
        return 1;
    if (alias > 0 && strncmp(text, header->alias, alias) == 0)
        return 1;
    for (uint32_t i = 0; i < velo_patterns_used(header); i++)
        if (header->patterns[i].absolute &&
            strncmp(text, header->patterns[i].text, header->patterns[i].length) == 0)
            return 1;
    /* "//ws" and "/./ws" are spellings too; they are rare, so the full walk may decide. */
    return text[0] == '/' && (text[1] == '/' || text[1] == '.');
}

/* ---- taken in -------------------------------------------------------------------------------- */

static struct velo_root *root_slot_for(struct velo_region *region, const char *path, size_t length)
{
    struct velo_header *header = region->header;
    struct velo_root *free = NULL;
    const uint32_t count = velo_roots_used(region);
    for (uint32_t i = 0; i < count; i++) {
        struct velo_root *root = &header->roots[i];
        if (root->length == length && memcmp(root->path, path, length) == 0)
            return root;
        if (!velo_is_node(root->node) && !velo_is_node(root->building) && free == NULL)
            free = root;
    }
    if (free == NULL && count < VELO_ROOTS_MAX)
        free = &header->roots[count];
    return free;
}

/* The unpublished root for `path`: new, or what a killed process began. */
static int root_begin(struct velo_region *region, const char *path, size_t length,
                      const struct stat *disk, struct velo_root **out)
{
    struct velo_header *header = region->header;
    struct velo_hold hold;
    int rc = 0;
    velo_begin(region, &hold);
    struct velo_root *root = root_slot_for(region, path, length);
    if (root == NULL) {
        rc = -ENOTDIR; /* as many as there can be: the kernel's */
    } else if (!velo_is_node(root->node)) {
        const uint32_t slot = (uint32_t)(root - header->roots);
        if (!velo_is_node(root->building)) {
            const velo_node_id node = velo_node_new_locked(region, VELO_DIRECTORY);
            if (velo_is_node(node)) {
                velo_set32(region, &velo_node_at(region, node)->links, 1);
                velo_set32(region, &velo_node_at(region, node)->root_slot, slot + 1);
                memcpy(root->path, path, length); /* no process reads it before node is set */
                root->path[length] = 0;
                root->length = (uint16_t)length;
                velo_set32(region, &root->hash, velo_hash(0, path, length));
                velo_set_node(region, &root->building, node);
                if (slot == header->root_count)
                    velo_set32(region, &header->root_count, slot + 1);
            }
            rc = velo_is_node(node) ? 0 : -ENOSPC;
        }
        if (rc == 0) {
            velo_take_stat_locked(region, root->building, disk);
            velo_take_birth_locked(region, root->building, AT_FDCWD, root->path);
            velo_identity_set_locked(region, root->building, VELO_ID_DISK, disk->st_dev,
                                     disk->st_ino);
        }
    }
    velo_finish(region, &hold, rc);
    *out = root;
    return rc;
}

static void root_publish(struct velo_region *region, struct velo_root *root)
{
    struct velo_hold hold;
    velo_begin(region, &hold);
    velo_set_node(region, &root->node, root->building);
    velo_set_node(region, &root->building, VELO_NO_NODE);
    velo_commit(region, &hold);
}

static int attach_with_flush_lock(struct velo_region *region, const char *path, size_t length,
                                  const struct stat *disk)
{
    struct velo_root *root = NULL;
    int rc = root_begin(region, path, length, disk, &root);
    if (rc != 0 || velo_is_node(root->node)) /* another process was first */
        return rc;
    rc = velo_tree_take_in(region, root->building);
    if (rc == 0)
        root_publish(region, root);
    return rc;
}

/* Nonzero when `node` is another directory than the root of `path`, which may be in the making:
 * by a process that holds the flush lock, or was killed with it. */
static int is_hosted_elsewhere(const struct velo_region *region, velo_node_id node,
                               const char *path, size_t length)
{
    const uint32_t slot = velo_is_node(node) ? VELO_READ(velo_node_at(region, node)->root_slot) : 0;
    if (!velo_is_node(node) || slot > VELO_ROOTS_MAX)
        return 0;
    const struct velo_root *root = slot == 0 ? NULL : &region->header->roots[slot - 1];
    return root == NULL || root->length != length || memcmp(root->path, path, length) != 0;
}

int velo_root_attach(struct velo_region *region, const char *path, size_t length)
{
    struct stat disk;
    int rc = velo_os_lstat(path, &disk);
    if (rc != 0)
        return rc == -EACCES ? -ENOENT : rc;
    if (!S_ISDIR(disk.st_mode) || length >= sizeof region->header->roots->path)
        return -ENOTDIR; /* a path that the table has no room for: the kernel's, too */
    if (root_slot_for(region, path, length) == NULL)
        return -ENOTDIR; /* as many as there can be: told before a lock is taken, at each call */
    if (is_hosted_elsewhere(region, velo_node_of(region, &disk), path, length))
        return -ENOTDIR; /* a second way to a directory that is hosted already: the kernel's */
    if (velo_is_read_only(path))
        return -ENOTDIR;
    if (velo_os_access(path, R_OK | X_OK, AT_EACCESS) == -EACCES)
        return -ENOTDIR; /* what is in it cannot be known: the kernel's, until it can be listed */
    velo_mounts_scan(region, path, length);
    rc = velo_flush_lock_take(region, VELO_FLUSH_LOCK_PATIENCE_MS);
    if (rc != 0)
        return rc;
    rc = attach_with_flush_lock(region, path, length, &disk);
    velo_flush_lock_leave(region);
    return rc;
}

void velo_root_forget(struct velo_region *region, velo_node_id root)
{
    char text[VELO_NAME_MAX + 1];
    for (size_t length = 1; length != 0;) {
        struct velo_hold hold;
        velo_begin(region, &hold);
        const velo_name_id first = velo_node_at(region, root)->first_entry;
        length =
            velo_is_name(first) ? velo_name_text(region, velo_name_at(region, first), text) : 0;
        if (!velo_is_name(velo_name_find(region, root, text, length))) /* or it was damaged */
            length = 0;
        if (length == 0) {
            const uint32_t slot = velo_node_at(region, root)->root_slot;
            if (slot != 0 && slot <= VELO_ROOTS_MAX)
                velo_set_node(region, &region->header->roots[slot - 1].node, VELO_NO_NODE);
            velo_node_free_locked(region, root);
        }
        velo_commit(region, &hold);
        if (length != 0)
            velo_forget(region, root, text, length);
    }
}
