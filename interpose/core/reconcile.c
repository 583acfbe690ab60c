/* reconcile.c - making the namespace agree with what others left on disk.
 *
 * One comparison per name: what velo put (or found) there last, against what lstat says now.  Equal
 * is decided without the lock; anything else is looked at again under the lock, where disk and
 * namespace change together (lock.h, L3), so a file that a client creates meanwhile is never
 * mistaken for an outside change.  First sight is the same walk with nothing known yet. */
#include "reconcile.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "litter.h"
#include "os.h"
#include "tree.h"

#define QUEUE_MAX (4u << 20) /* directories waiting; untouched pages of the queue cost nothing */
#define DENTS_BYTES 32768
#define BATON_PATIENCE_MS 60000
#define REMOVALS_A_LOCK 16

/* Working memory of one pass: mapped, because the caller may have a 64 KiB stack. */
struct pass {
    struct velo_region *region;
    velo_conflict conflict;
    void *context;
    struct velo_reconcile_result result;
    uint32_t mark;
    int deep; /* go into directories that were known before, too */
    uint32_t head, tail;
    char path[PATH_MAX], target[PATH_MAX];
    char dents[DENTS_BYTES];
    uint32_t queue[QUEUE_MAX];
};

static struct pass *pass_new(struct velo_region *region, int deep)
{
    const long address =
        velo_os_map(sizeof(struct pass));
    if (address < 0 && address > -4096)
        return NULL;
    struct pass *pass = (struct pass *)address;
    pass->region = region;
    pass->deep = deep;
    pass->mark = atomic_fetch_add(&region->header->mark, 1) + 1;
    return pass;
}

static void pass_free(struct pass *pass)
{
    velo_os_unmap(velo_word(pass), sizeof *pass);
}

static void enqueue(struct pass *pass, uint32_t directory)
{
    if (pass->tail < QUEUE_MAX)
        pass->queue[pass->tail++] = directory;
}

/* ---- one name -------------------------------------------------------------------------------- */

static enum velo_type type_of(mode_t mode)
{
    if (S_ISREG(mode))
        return VELO_REGULAR;
    if (S_ISDIR(mode))
        return VELO_DIRECTORY;
    return S_ISLNK(mode) ? VELO_SYMLINK : VELO_OTHER;
}

static int same_as_put(const struct velo_name *name, const struct velo_node *node,
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
static int unchanged(const struct velo_region *region, uint32_t index, const struct stat *disk)
{
    const struct velo_name *name = velo_name_at(region, index);
    const struct velo_node *node = velo_node_at(region, VELO_READ(name->node));
    if (VELO_READ(node->type) != type_of(disk->st_mode))
        return 0;
    if (VELO_READ(node->type) == VELO_DIRECTORY)
        return VELO_READ(node->identity[VELO_ID_DISK].inode) == disk->st_ino &&
               VELO_READ(node->mode) == disk->st_mode &&
               VELO_READ(node->uid) == disk->st_uid && VELO_READ(node->gid) == disk->st_gid;
    return same_as_put(name, node, disk);
}

static uint32_t other_name_of(const struct velo_region *region, const struct stat *disk)
{
    if (S_ISDIR(disk->st_mode) || disk->st_nlink < 2)
        return 0;
    const uint32_t index = velo_identity_find(region, disk->st_dev, disk->st_ino);
    const struct velo_node *node = velo_node_at(region, index);
    if (index == 0 || node->type != type_of(disk->st_mode) || node->links == 0)
        return 0;
    const int same = node->type != VELO_REGULAR ||
                     (node->state == VELO_DISK && node->mtime_ns == velo_ns(&disk->st_mtim) &&
                      node->size == (uint64_t)disk->st_size);
    return same ? index : 0;
}

static uint32_t new_node_locked(struct pass *pass, int dirfd, uint32_t parent, const char *text,
                                size_t length, const struct stat *disk)
{
    struct velo_region *region = pass->region;
    const uint32_t index = velo_node_new_locked(region, type_of(disk->st_mode));
    if (index == 0)
        return 0;
    struct velo_node *node = velo_node_at(region, index);
    velo_take_stat_locked(region, index, disk);
    VELO_INIT(node->btime_ns, node->ctime_ns);
    if (node->type == VELO_SYMLINK) {
        const long got = velo_os_readlinkat(dirfd, text, pass->target, PATH_MAX - 1);
        if (got <= 0)
            return 0;
        velo_set64(region, &node->size, (uint64_t)got);
        velo_set32(region, &node->target,
                   velo_text_new_locked(region, pass->target, (size_t)got));
        if (node->target == 0)
            return 0;
    } else if (node->type == VELO_REGULAR) {
        const int path = velo_name_path(region, parent, text, length, pass->target);
        const uint32_t home = path < 0 ? 0 : velo_home_of(region, pass->target, (size_t)path);
        VELO_INIT(node->home, (uint16_t)home);
        velo_state_set_locked(region, index, VELO_DISK);
        velo_set64(region, &node->version, 1);
        velo_set64(region, &node->settled, 1);
    }
    velo_identity_set_locked(region, index, VELO_ID_DISK, disk->st_dev, disk->st_ino);
    return index;
}

/* Enter a name that the disk has and the namespace has not. 0 or -ENOSPC. */
static int ingest_locked(struct pass *pass, int dirfd, uint32_t parent, const char *text,
                         size_t length, const struct stat *disk)
{
    struct velo_region *region = pass->region;
    uint32_t node = other_name_of(region, disk);
    if (node == 0)
        node = new_node_locked(pass, dirfd, parent, text, length, disk);
    const uint32_t name =
        node == 0 ? 0 : velo_name_enter_locked(region, parent, text, length, node);
    if (name == 0)
        return -ENOSPC;
    velo_name_disk_locked(region, name, velo_node_at(region, node)->version, disk);
    VELO_INIT(velo_name_at(region, name)->mark, pass->mark);
    pass->result.ingested++;
    if (S_ISDIR(disk->st_mode))
        enqueue(pass, node);
    return 0;
}

static void remove_locked(struct velo_region *region, uint32_t name)
{
    const uint32_t node = velo_name_at(region, name)->node;
    velo_name_remove_locked(region, name);
    if (velo_node_at(region, node)->links == 0)
        velo_node_drop_locked(region, node);
}

static int is_dirty_file(const struct velo_region *region, uint32_t index)
{
    const struct velo_name *name = velo_name_at(region, index);
    const struct velo_node *node = velo_node_at(region, name->node);
    return node->type == VELO_REGULAR && node->state != VELO_DISK &&
           name->disk_version != node->version;
}

enum verdict { DONE = 0, FORGET_TREE = 1, REPORT = 2 };

/* The name exists in both and differs. */
static int changed_locked(struct pass *pass, uint32_t index, const struct stat *disk)
{
    struct velo_region *region = pass->region;
    struct velo_name *name = velo_name_at(region, index);
    struct velo_node *node = velo_node_at(region, name->node);
    VELO_INIT(name->mark, pass->mark);
    if (node->type == VELO_DIRECTORY && S_ISDIR(disk->st_mode)) {
        velo_take_stat_locked(region, name->node, disk);
        velo_identity_set_locked(region, name->node, VELO_ID_DISK, disk->st_dev, disk->st_ino);
        velo_name_disk_locked(region, index, 0, disk);
        return DONE;
    }
    if (node->type == VELO_DIRECTORY)
        return FORGET_TREE;
    if (node->type == VELO_REGULAR && node->state == VELO_DISK && S_ISREG(disk->st_mode) &&
        name->disk_inode == disk->st_ino) { /* written in place, maybe by us (open_direct) */
        pass->result.changed -= node->settled != node->version;
        velo_set64(region, &node->stored, 0);
        velo_take_stat_locked(region, name->node, disk);
        velo_names_seen_locked(region, name->node, disk);
        return DONE;
    }
    if (is_dirty_file(region, index)) { /* memory wins; what is there now is an older version */
        velo_name_disk_locked(region, index, 0, disk);
        return REPORT;
    }
    remove_locked(region, index);
    return FORGET_TREE; /* gone already: the caller looks again and ingests */
}

static int busy_put(const struct velo_region *region, const struct velo_name *name)
{
    const uint32_t putter = VELO_READ(name->putter);
    return putter != 0 && velo_putter_alive(region, putter);
}

static int look_again_locked(struct pass *pass, int dirfd, uint32_t parent, const char *text,
                             size_t length)
{
    struct velo_region *region = pass->region;
    struct stat disk;
    const uint32_t index = velo_name_find(region, parent, text, length);
    if (index != 0 && busy_put(region, velo_name_at(region, index))) {
        VELO_INIT(velo_name_at(region, index)->mark, pass->mark);
        return DONE;
    }
    const int rc = velo_os_lstatat(dirfd, text, &disk);
    if (rc != 0)
        return DONE; /* it went: the sweep of unmarked names decides */
    if (index != 0)
        velo_putter_died_locked(region, index, &disk);
    if (index == 0)
        return ingest_locked(pass, dirfd, parent, text, length, &disk);
    VELO_INIT(velo_name_at(region, index)->mark, pass->mark);
    if (unchanged(region, index, &disk))
        return DONE;
    pass->result.changed++;
    return changed_locked(pass, index, &disk);
}

static int quick_equal(struct pass *pass, uint32_t parent, const char *text, size_t length,
                       const struct stat *disk)
{
    struct velo_region *region = pass->region;
    const uint64_t sequence = velo_read_begin(region);
    const uint32_t index = velo_name_find(region, parent, text, length);
    if ((sequence & 1) != 0 || index == 0 || !unchanged(region, index, disk))
        return 0;
    const uint32_t node = VELO_READ(velo_name_at(region, index)->node);
    if (velo_read_retry(region, sequence))
        return 0;
    __atomic_store_n(&velo_name_at(region, index)->mark, pass->mark, __ATOMIC_RELAXED);
    if (pass->deep && S_ISDIR(disk->st_mode))
        enqueue(pass, node);
    return 1;
}

static void report(struct pass *pass, uint32_t parent, const char *text, size_t length)
{
    pass->result.conflicts++;
    char directory[VELO_NAME_MAX + 1];
    memcpy(directory, text, length + 1); /* text may lie in pass->dents: keep it */
    if (pass->conflict != NULL &&
        velo_name_path(pass->region, parent, directory, length, pass->target) > 0)
        pass->conflict(pass->context, pass->target);
}

static int compare_name(struct pass *pass, int dirfd, uint32_t parent, const char *text)
{
    const size_t length = velo_length(text);
    struct stat disk;
    pass->result.seen++;
    if (length > VELO_NAME_MAX || velo_os_lstatat(dirfd, text, &disk) != 0)
        return 0;
    if (quick_equal(pass, parent, text, length, &disk))
        return 0;
    for (int again = 0; again < 3; again++) {
        struct velo_hold hold;
        velo_begin(pass->region, &hold);
        const int verdict = look_again_locked(pass, dirfd, parent, text, length);
        const uint32_t name = velo_name_find(pass->region, parent, text, length);
        const uint32_t node = name != 0 ? velo_name_at(pass->region, name)->node : 0;
        const int known_directory =
            pass->deep && node != 0 &&
            velo_node_at(pass->region, node)->type == VELO_DIRECTORY &&
            (pass->tail == 0 || pass->queue[pass->tail - 1] != node);
        velo_finish(pass->region, &hold, verdict < 0 ? verdict : 0);
        if (verdict < 0)
            return verdict;
        if (verdict == FORGET_TREE) {
            velo_forget(pass->region, parent, text, length);
            continue;
        }
        if (verdict == REPORT)
            report(pass, parent, text, length);
        if (known_directory)
            enqueue(pass, node);
        return 0;
    }
    return 0;
}

/* ---- one directory --------------------------------------------------------------------------- */

static int vanished_locked(struct pass *pass, int dirfd, uint32_t index)
{
    struct velo_name *name = velo_name_at(pass->region, index);
    char text[VELO_NAME_MAX + 1];
    struct stat disk;
    if (VELO_READ(name->mark) == pass->mark || (name->flags & VELO_NAME_ON_DISK) == 0 ||
        busy_put(pass->region, name))
        return 0;
    velo_name_text(pass->region, name, text);
    return velo_os_lstatat(dirfd, text, &disk) == -ENOENT;
}

/* Take out names that the disk had and has no more. Returns 1 to be called again. */
static int drop_vanished(struct pass *pass, int dirfd, uint32_t directory)
{
    struct velo_region *region = pass->region;
    char tree[VELO_NAME_MAX + 1];
    size_t tree_length = 0;
    int removed = 0;
    struct velo_hold hold;
    velo_begin(region, &hold);
    uint32_t next = velo_node_at(region, directory)->first_entry;
    while (next != 0 && removed < REMOVALS_A_LOCK && tree_length == 0) {
        const uint32_t index = next;
        next = velo_name_at(region, index)->next_entry;
        if (!vanished_locked(pass, dirfd, index))
            continue;
        pass->result.vanished++;
        removed++;
        if (velo_node_at(region, velo_name_at(region, index)->node)->type == VELO_DIRECTORY)
            tree_length = velo_name_text(region, velo_name_at(region, index), tree);
        else if (is_dirty_file(region, index))
            velo_name_disk_locked(region, index, 0, NULL); /* the newer version lives on */
        else
            remove_locked(region, index);
    }
    velo_commit(region, &hold);
    if (tree_length != 0)
        velo_forget(region, directory, tree, tree_length);
    return removed != 0;
}

struct dent { /* struct linux_dirent64 */
    uint64_t inode;
    int64_t next;
    uint16_t record_bytes;
    unsigned char type;
    char name[];
};

static int scan_names(struct pass *pass, int dirfd, uint32_t directory)
{
    struct velo_region *region = pass->region;
    for (;;) {
        const long got = velo_sys3(SYS_getdents64, dirfd, velo_word(pass->dents), DENTS_BYTES);
        if (got <= 0)
            return got == -ENOENT ? 0 : (int)got; /* removed meanwhile: nothing is in it */
        for (long at = 0; at < got;) {
            const struct dent *dent = (const struct dent *)(const void *)(pass->dents + at);
            at += dent->record_bytes;
            const char *name = dent->name;
            if (name[0] == '.' && (name[1] == 0 || (name[1] == '.' && name[2] == 0)))
                continue;
            if (velo_is_temporary(name)) {
                velo_litter_found(region, directory, dirfd, name);
                continue;
            }
            const int rc = compare_name(pass, dirfd, directory, name);
            if (rc != 0)
                return rc;
        }
    }
}

static int scan_directory(struct pass *pass, uint32_t directory)
{
    struct velo_region *region = pass->region;
    if (velo_path_of(region, directory, pass->path) < 0)
        return 0; /* it went meanwhile */
    const int dirfd =
        velo_os_open(pass->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
    if (dirfd < 0)
        return dirfd == -ENOENT || dirfd == -ENOTDIR || dirfd == -EACCES ? 0 : dirfd;
    const int rc = scan_names(pass, dirfd, directory);
    if (rc == 0) {
        while (drop_vanished(pass, dirfd, directory)) {
        }
    }
    velo_os_close(dirfd);
    return rc;
}

static int run(struct pass *pass)
{
    int rc = 0;
    while (rc == 0 && pass->head < pass->tail)
        rc = scan_directory(pass, pass->queue[pass->head++]);
    return rc;
}

/* After the look, so that nobody who is killed looking takes the mark away; and not when somebody
 * else was killed meanwhile, perhaps in this very directory. */
static void not_stale(struct velo_region *region, uint32_t directory, uint64_t recoveries)
{
    struct velo_hold hold;
    velo_begin(region, &hold);
    struct velo_node *node = velo_node_at(region, directory);
    if (node->type == VELO_DIRECTORY && atomic_load(&region->header->recoveries) == recoveries)
        velo_set32(region, &node->flags, node->flags & ~(uint32_t)VELO_NODE_STALE);
    velo_commit(region, &hold);
}

int velo_directory_refresh(struct velo_region *region, uint32_t directory)
{
    struct pass *pass = pass_new(region, 0);
    if (pass == NULL)
        return -ENOMEM;
    const uint64_t recoveries = atomic_load(&region->header->recoveries);
    enqueue(pass, directory);
    const int rc = run(pass);
    pass_free(pass);
    if (rc == 0)
        not_stale(region, directory, recoveries);
    return rc;
}

int velo_take_from_disk(struct velo_region *region, uint32_t parent, const char *text,
                        size_t length)
{
    char name[VELO_NAME_MAX + 1];
    if (length > VELO_NAME_MAX)
        return -ENAMETOOLONG;
    memcpy(name, text, length);
    name[length] = 0;
    velo_forget(region, parent, name, length);
    struct pass *pass = pass_new(region, 0);
    if (pass == NULL)
        return -ENOMEM;
    int rc = velo_path_of(region, parent, pass->path);
    const int dirfd =
        rc < 0 ? rc : velo_os_open(pass->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    rc = dirfd;
    if (dirfd >= 0) {
        rc = compare_name(pass, dirfd, parent, name);
        velo_os_close(dirfd);
        if (rc == 0)
            rc = run(pass);
    }
    pass_free(pass);
    return rc < 0 ? rc : 0;
}

/* ---- roots ----------------------------------------------------------------------------------- */

static struct velo_root *root_slot_for(struct velo_region *region, const char *path, size_t length)
{
    struct velo_header *header = region->header;
    struct velo_root *free = NULL;
    for (uint32_t i = 0; i < header->root_count; i++) {
        struct velo_root *root = &header->roots[i];
        if (root->length == length && memcmp(root->path, path, length) == 0)
            return root;
        if (root->node == 0 && root->building == 0 && free == NULL)
            free = root;
    }
    if (free == NULL && header->root_count < VELO_ROOTS_MAX)
        free = &header->roots[header->root_count];
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
    if (root == NULL || length >= sizeof root->path) {
        rc = root == NULL ? -ENOSPC : -ENAMETOOLONG;
    } else if (root->node == 0) {
        const uint32_t slot = (uint32_t)(root - header->roots);
        if (root->building == 0) {
            const uint32_t node = velo_node_new_locked(region, VELO_DIRECTORY);
            if (node != 0) {
                velo_set32(region, &velo_node_at(region, node)->links, 1);
                velo_set32(region, &velo_node_at(region, node)->root_slot, slot + 1);
                memcpy(root->path, path, length); /* nobody reads it before node is set */
                root->path[length] = 0;
                root->length = (uint16_t)length;
                velo_set32(region, &root->hash, velo_hash(0, path, length));
                velo_set32(region, &root->building, node);
                if (slot == header->root_count)
                    velo_set32(region, &header->root_count, slot + 1);
            }
            rc = node == 0 ? -ENOSPC : 0;
        }
        if (rc == 0) {
            velo_take_stat_locked(region, root->building, disk);
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
    velo_set32(region, &root->node, root->building);
    velo_set32(region, &root->building, 0);
    velo_commit(region, &hold);
}

static int attach_with_baton(struct velo_region *region, const char *path, size_t length,
                             const struct stat *disk)
{
    struct velo_root *root = NULL;
    int rc = root_begin(region, path, length, disk, &root);
    if (rc != 0 || root->node != 0) /* somebody else was first */
        return rc;
    struct pass *pass = pass_new(region, 1);
    if (pass == NULL)
        return -ENOMEM;
    enqueue(pass, root->building);
    rc = run(pass);
    pass_free(pass);
    if (rc == 0)
        root_publish(region, root);
    return rc;
}

/* Nonzero when `node` is another directory than the root of `path`, which may be in the making:
 * by somebody who holds the baton, or who was killed with it. */
static int is_hosted_elsewhere(const struct velo_region *region, uint32_t node, const char *path,
                               size_t length)
{
    const uint32_t slot = node == 0 ? 0 : VELO_READ(velo_node_at(region, node)->root_slot);
    if (node == 0 || slot > VELO_ROOTS_MAX)
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
    if (!S_ISDIR(disk.st_mode))
        return -ENOTDIR;
    if (is_hosted_elsewhere(region, velo_node_of(region, &disk), path, length))
        return -ENOTDIR; /* a second way to a directory that is hosted already: the kernel's */
    rc = velo_baton_take(region, BATON_PATIENCE_MS);
    if (rc != 0)
        return rc;
    rc = attach_with_baton(region, path, length, &disk);
    velo_baton_leave(region);
    return rc;
}

void velo_root_forget(struct velo_region *region, uint32_t root)
{
    char text[VELO_NAME_MAX + 1];
    for (size_t length = 1; length != 0;) {
        struct velo_hold hold;
        velo_begin(region, &hold);
        const uint32_t first = velo_node_at(region, root)->first_entry;
        length = first == 0 ? 0 : velo_name_text(region, velo_name_at(region, first), text);
        if (length == 0) {
            const uint32_t slot = velo_node_at(region, root)->root_slot;
            if (slot != 0)
                velo_set32(region, &region->header->roots[slot - 1].node, 0);
            velo_node_free_locked(region, root);
        }
        velo_commit(region, &hold);
        if (length != 0)
            velo_forget(region, root, text, length);
    }
}

static int reconcile_root(struct pass *pass, uint32_t slot)
{
    struct velo_region *region = pass->region;
    const struct velo_root *root = &region->header->roots[slot];
    struct stat disk;
    const int rc = velo_os_lstat(root->path, &disk);
    if (rc != 0 || !S_ISDIR(disk.st_mode)) {
        pass->result.vanished++;
        velo_root_forget(region, root->node);
        return 0;
    }
    struct velo_hold hold;
    velo_begin(region, &hold);
    velo_identity_set_locked(region, root->node, VELO_ID_DISK, disk.st_dev, disk.st_ino);
    velo_set32(region, &velo_node_at(region, root->node)->mode, disk.st_mode);
    velo_commit(region, &hold);
    enqueue(pass, root->node);
    return run(pass);
}

int velo_reconcile(struct velo_region *region, velo_conflict conflict, void *context,
                   struct velo_reconcile_result *result)
{
    struct pass *pass = pass_new(region, 1);
    if (pass == NULL)
        return -ENOMEM;
    pass->conflict = conflict;
    pass->context = context;
    int rc = velo_baton_take(region, BATON_PATIENCE_MS);
    if (rc == 0) {
        for (uint32_t i = 0; i < region->header->root_count && rc == 0; i++)
            if (region->header->roots[i].node != 0)
                rc = reconcile_root(pass, i);
        velo_baton_leave(region);
    }
    *result = pass->result;
    pass_free(pass);
    return rc;
}
