/* tree.c - what names and nodes say: disk copies, identities, attributes.  See tree.h. */
#include "tree.h"

#include <errno.h>
#include <string.h>

#include "litter.h"
#include "loosen.h"
#include "os.h"
#include "poison.h"

#define FORGET_WAITS_MAX 20000 /* a second */

uint32_t velo_hash(uint64_t seed, const char *text, size_t length)
{
    const uint64_t mix = 0x9e3779b97f4a7c15ull;
    uint64_t hash = (seed + 1) * mix ^ length;
    while (length > 0) {
        uint64_t word = 0;
        const size_t part = length < 8 ? length : 8;
        memcpy(&word, text, part);
        hash = (hash ^ word) * mix;
        hash ^= hash >> 29;
        text += part;
        length -= part;
    }
    hash *= mix;
    return (uint32_t)(hash >> 32);
}

uint32_t velo_home_of(const struct velo_region *region, const char *path, size_t length)
{
    return velo_hash(0, path, length) % region->header->shard_count;
}

static void word_set_locked(struct velo_region *region, uint32_t index, unsigned type,
                            unsigned state, uint16_t home)
{
    struct velo_node *node = velo_node_at(region, index);
    struct {
        uint8_t type, state;
        uint16_t home;
    } word = {(uint8_t)type, (uint8_t)state, home};
    uint32_t value;
    memcpy(&value, &word, sizeof value);
    velo_set32(region, (uint32_t *)(void *)&node->type, value);
}

void velo_type_set_locked(struct velo_region *region, uint32_t index, enum velo_type type)
{
    word_set_locked(region, index, type, 0, 0);
}

void velo_state_set_locked(struct velo_region *region, uint32_t index, enum velo_state state)
{
    const struct velo_node *node = velo_node_at(region, index);
    word_set_locked(region, index, node->type, state, node->home);
}

void velo_name_flags_locked(struct velo_region *region, uint32_t index, unsigned flags)
{
    struct velo_name *name = velo_name_at(region, index);
    struct {
        uint16_t length;
        uint8_t flags, reserved;
    } word = {name->length, (uint8_t)flags, 0};
    uint32_t value;
    memcpy(&value, &word, sizeof value);
    velo_set32(region, (uint32_t *)(void *)&name->length, value);
}

void velo_name_disk_locked(struct velo_region *region, uint32_t index, uint64_t version,
                           const struct stat *stat)
{
    struct velo_name *name = velo_name_at(region, index);
    velo_set64(region, &name->disk_version, stat != NULL ? version : 0);
    velo_set64(region, &name->disk_inode, stat != NULL ? stat->st_ino : 0);
    velo_set64(region, &name->disk_size, stat != NULL ? (uint64_t)stat->st_size : 0);
    velo_set_time(region, &name->disk_mtime_ns, stat != NULL ? velo_ns(&stat->st_mtim) : 0);
    velo_set_time(region, &name->disk_ctime_ns, stat != NULL ? velo_ns(&stat->st_ctim) : 0);
    const int poisoned = stat != NULL && velo_is_poison(region, stat) &&
                         velo_node_at(region, name->node)->type == VELO_REGULAR;
    velo_name_flags_locked(region, index, stat == NULL ? 0
                                          : poisoned   ? VELO_NAME_ON_DISK | VELO_NAME_POISON
                                                       : VELO_NAME_ON_DISK);
}

void velo_names_seen_locked(struct velo_region *region, uint32_t node, const struct stat *stat)
{
    for (uint32_t index = velo_node_at(region, node)->first_name; index != 0;
         index = velo_name_at(region, index)->next_of_node) {
        struct velo_name *name = velo_name_at(region, index);
        if ((name->flags & VELO_NAME_ON_DISK) == 0 || name->disk_inode != stat->st_ino)
            continue;
        __atomic_store_n(&name->disk_size, (uint64_t)stat->st_size, __ATOMIC_RELAXED);
        __atomic_store_n(&name->disk_mtime_ns, velo_ns(&stat->st_mtim), __ATOMIC_RELAXED);
        __atomic_store_n(&name->disk_ctime_ns, velo_ns(&stat->st_ctim), __ATOMIC_RELAXED);
    }
}

/* A frame of its own: few need it. */
__attribute__((noinline)) static int look_at_name_locked(struct velo_region *region, uint32_t index,
                                                         struct stat *disk)
{
    const struct velo_name *name = velo_name_at(region, index);
    char path[PATH_MAX], text[VELO_NAME_MAX + 1];
    const size_t length = velo_name_text(region, name, text);
    const int rc = velo_name_path(region, name->parent, text, length, path);
    return rc < 0 ? rc : velo_loose_lstat_locked(region, name->parent, path, disk);
}

void velo_putter_died_locked(struct velo_region *region, uint32_t index, const struct stat *disk)
{
    struct velo_name *name = velo_name_at(region, index);
    struct stat now;
    if (name->putter == 0 || velo_putter_alive(region, name->putter))
        return;
    const uint64_t replaced = name->disk_inode;
    velo_set32(region, &name->putter, 0);
    velo_set64(region, &name->disk_version, 0);
    const int rc = disk == NULL ? look_at_name_locked(region, index, &now) : 0;
    if (rc == 0) /* which inode it is, a recovery will want to know (rename.c) */
        velo_name_disk_locked(region, index, 0, disk == NULL ? &now : disk);
    else if (rc == -ENOENT)
        velo_name_disk_locked(region, index, 0, NULL);
    else
        velo_name_flags_locked(region, index, name->flags | VELO_NAME_ON_DISK);
    if (name->disk_inode != replaced)
        velo_copy_lost_locked(region, name->parent, replaced);
}

void velo_copy_lost_locked(struct velo_region *region, uint32_t directory, uint64_t inode)
{
    const uint64_t device = velo_node_at(region, directory)->identity[VELO_ID_DISK].device;
    const uint32_t node = inode == 0 ? 0 : velo_identity_find(region, device, inode);
    if (node == 0 || velo_node_at(region, node)->identity[VELO_ID_DISK].inode != inode)
        return;
    uint32_t index = velo_node_at(region, node)->first_name;
    while (index != 0 && velo_name_at(region, index)->disk_inode != inode)
        index = velo_name_at(region, index)->next_of_node;
    if (index == 0) {
        velo_identity_clear_locked(region, node, VELO_ID_DISK);
        return;
    }
    const struct velo_name *name = velo_name_at(region, index);
    char path[PATH_MAX], text[VELO_NAME_MAX + 1];
    struct stat disk;
    const size_t length = velo_name_text(region, name, text);
    if (velo_name_path(region, name->parent, text, length, path) > 0 &&
        velo_loose_lstat_locked(region, name->parent, path, &disk) == 0 && disk.st_ino == inode)
        velo_names_seen_locked(region, node, &disk);
}

/* ---- identities ---------------------------------------------------------------------------- */

static uint32_t *identity_bucket(const struct velo_region *region, uint64_t device, uint64_t inode)
{
    const struct velo_header *header = region->header;
    uint32_t *table = (void *)(region->base + header->identity_table_offset);
    const uint64_t mixed = (inode ^ device << 40) * 0x9e3779b97f4a7c15ull;
    return &table[(mixed >> 32) & (header->identity_table_size - 1)];
}

static struct velo_identity *identity_at(const struct velo_region *region, uint32_t link)
{
    return &velo_node_at(region, link >> 1)->identity[link & 1];
}

void velo_identity_clear_locked(struct velo_region *region, uint32_t node, unsigned which)
{
    struct velo_identity *identity = &velo_node_at(region, node)->identity[which];
    if (!identity->linked)
        return;
    const uint32_t wanted = node << 1 | which;
    uint32_t *link = identity_bucket(region, identity->device, identity->inode);
    while (*link != 0 && *link != wanted)
        link = &identity_at(region, *link)->next;
    if (*link == wanted)
        velo_set32(region, link, identity->next);
    velo_set32(region, &identity->linked, 0);
}

void velo_identity_set_locked(struct velo_region *region, uint32_t node, unsigned which,
                              uint64_t device, uint64_t inode)
{
    struct velo_identity *identity = &velo_node_at(region, node)->identity[which];
    if (identity->linked && identity->device == device && identity->inode == inode)
        return;
    velo_identity_clear_locked(region, node, which);
    uint32_t *bucket = identity_bucket(region, device, inode);
    velo_set64(region, &identity->device, device);
    velo_set64(region, &identity->inode, inode);
    velo_set32(region, &identity->next, *bucket);
    velo_set32(region, &identity->linked, 1);
    velo_set32(region, bucket, node << 1 | which);
}

uint32_t velo_identity_find(const struct velo_region *region, uint64_t device, uint64_t inode)
{
    uint32_t link = VELO_READ(*identity_bucket(region, device, inode));
    for (uint32_t steps = 0; link != 0 && steps < 2 * region->header->nodes.capacity; steps++) {
        const struct velo_identity *identity = identity_at(region, link);
        if (VELO_READ(identity->inode) == inode && VELO_READ(identity->device) == device)
            return link >> 1;
        link = VELO_READ(identity->next);
    }
    return 0;
}

static uint32_t find_reachable(const struct velo_region *region, const struct stat *kernel)
{
    const uint32_t node = velo_identity_find(region, kernel->st_dev, kernel->st_ino);
    return (VELO_READ(velo_node_at(region, node)->flags) & VELO_NODE_DEEP) != 0 ? 0 : node;
}

uint32_t velo_node_of(struct velo_region *region, const struct stat *kernel)
{
    for (int attempt = 0; attempt < 1000; attempt++) {
        const uint64_t sequence = velo_read_begin(region);
        if ((sequence & 1) != 0)
            break;
        const uint32_t node = find_reachable(region, kernel);
        if (!velo_read_retry(region, sequence))
            return node;
    }
    struct velo_hold hold;
    velo_begin(region, &hold);
    const uint32_t node = find_reachable(region, kernel);
    velo_commit(region, &hold);
    return node;
}

/* ---- attributes ---------------------------------------------------------------------------- */

void velo_take_stat_locked(struct velo_region *region, uint32_t index, const struct stat *from)
{
    struct velo_node *node = velo_node_at(region, index);
    velo_set32(region, &node->mode, from->st_mode);
    velo_set32(region, &node->uid, from->st_uid);
    velo_set32(region, &node->gid, from->st_gid);
    velo_set64(region, &node->rdev, from->st_rdev);
    velo_set64(region, &node->size, (uint64_t)from->st_size);
    velo_set64(region, &node->blocks, (uint64_t)from->st_blocks);
    velo_set_time(region, &node->atime_ns, velo_ns(&from->st_atim));
    velo_set_time(region, &node->mtime_ns, velo_ns(&from->st_mtim));
    velo_set_time(region, &node->ctime_ns, velo_ns(&from->st_ctim));
}

void velo_shared_locked(struct velo_region *region, uint32_t index, const struct stat *disk)
{
    struct velo_node *node = velo_node_at(region, index);
    if (node->type != VELO_DIRECTORY && (node->type != VELO_REGULAR || node->state == VELO_DISK) &&
        disk->st_nlink > node->links)
        velo_set32(region, &node->flags, node->flags | VELO_NODE_SHARED);
}

void velo_unshared_locked(struct velo_region *region, uint32_t index, const struct stat *disk)
{
    struct velo_node *node = velo_node_at(region, index);
    if ((node->flags & VELO_NODE_SHARED) == 0 || disk->st_nlink != node->links)
        return;
    velo_set32(region, &node->flags, node->flags & ~(uint32_t)VELO_NODE_SHARED);
    velo_take_stat_locked(region, index, disk); /* believed from now on */
    velo_names_seen_locked(region, index, disk);
}

void velo_raise_floor(struct velo_region *region, int64_t ns)
{
    _Atomic int64_t *floor = &region->header->time_floor_ns;
    int64_t seen = atomic_load_explicit(floor, memory_order_relaxed);
    while (ns > seen && !atomic_compare_exchange_weak_explicit(
                            floor, &seen, ns, memory_order_relaxed, memory_order_relaxed)) {
    }
}

/* A time from the kernel itself: since 6.13 it gives a file that was looked at a stamp later than
 * all it gave before, and one only it knows. */
static int64_t kernel_stamp(struct velo_region *region)
{
    char path[sizeof region->directory + 8];
    const size_t length = velo_length(region->directory);
    memcpy(path, region->directory, length);
    memcpy(path + length, "/clock", 7);
    struct stat stat;
    /* That it was looked at is what the last call here did, the time before. */
    if (velo_os_utimensat(AT_FDCWD, path, NULL, 0) != 0 || velo_os_lstat(path, &stat) != 0)
        return 0;
    return velo_ns(&stat.st_mtim);
}

int64_t velo_stamp(struct velo_region *region, int fine)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    int64_t stamp = velo_ns(&now);
    const int64_t floor =
        atomic_load_explicit(&region->header->time_floor_ns, memory_order_relaxed);
    if (floor > stamp && floor - stamp < 1000000000) /* further ahead: somebody set the clock back */
        stamp = floor;
    if (fine) {
        int64_t kernel = kernel_stamp(region);
        if (kernel <= stamp) /* nobody had looked at the clock before: now we have */
            kernel = kernel_stamp(region);
        if (kernel > stamp)
            stamp = kernel;
        velo_raise_floor(region, stamp);
    }
    return stamp;
}

int64_t velo_ctime_of(const struct velo_node *node, int64_t kernel_ns)
{
    const int64_t ours = VELO_READ(node->ctime_ns);
    return kernel_ns == VELO_READ(node->copied_ns) || ours > kernel_ns ? ours : kernel_ns;
}

/* On disk the kernel did it already: what it says by any of the names. */
__attribute__((noinline)) static int64_t disk_renamed(struct velo_region *region,
                                                      const struct velo_node *node)
{
    char path[PATH_MAX], text[VELO_NAME_MAX + 1];
    struct stat stat;
    const uint64_t inode = node->identity[VELO_ID_DISK].inode;
    uint32_t index = node->first_name;
    while (index != 0 && velo_name_at(region, index)->disk_inode != inode)
        index = velo_name_at(region, index)->next_of_node;
    if (index == 0)
        return 0;
    const struct velo_name *name = velo_name_at(region, index);
    const size_t length = velo_name_text(region, name, text);
    return velo_name_path(region, name->parent, text, length, path) > 0 &&
                   velo_loose_lstat_locked(region, name->parent, path, &stat) == 0 &&
                   stat.st_ino == inode && velo_ns(&stat.st_ctim) > node->ctime_ns
               ? velo_ns(&stat.st_ctim)
               : 0;
}

/* The kernel stamps its inode and so remembers who was shown what: a chown that changes nothing
 * changes the ctime. It would take set-user-ID bits away, too; a chmod does not, but the owner
 * alone may do that. 0: a stamp of ours must do. */
static int64_t kernel_renamed(struct velo_region *region, const struct velo_node *node)
{
    char path[320];
    struct stat stat;
    if (node->type != VELO_REGULAR || node->state == VELO_DISK)
        return disk_renamed(region, node);
    if (node->state != VELO_BACKED)
        return 0;
    velo_backing_path(region, node->backing, path);
    const int special = (node->mode & (S_ISUID | S_ISGID)) != 0;
    if (special && velo_os_lstat(path, &stat) != 0) /* a write has perhaps taken the bits since */
        return 0;
    const long rc =
        special
            ? velo_sys3(SYS_fchmodat, AT_FDCWD, velo_word(path), stat.st_mode & 07777)
            : velo_sys5(SYS_fchownat, AT_FDCWD, velo_word(path), (uid_t)-1, (gid_t)-1, 0);
    return rc == 0 && velo_os_lstat(path, &stat) == 0 ? velo_ns(&stat.st_ctim) : 0;
}

void velo_renamed_locked(struct velo_region *region, uint32_t index)
{
    struct velo_node *node = velo_node_at(region, index);
    const int64_t kernel = node->type != VELO_DIRECTORY ? kernel_renamed(region, node) : 0;
    velo_set_time(region, &node->ctime_ns, kernel != 0 ? kernel : velo_stamp(region, 1));
}

void velo_ctime_seen_locked(struct velo_region *region, uint32_t index, const char *path)
{
    const struct velo_node *node = velo_node_at(region, index);
    struct stat seen;
    if (node->type == VELO_SYMLINK || (node->type == VELO_REGULAR && node->state == VELO_DISK))
        velo_os_lstat(path, &seen);
}

void velo_lose_link_locked(struct velo_region *region, uint32_t index)
{
    const struct velo_node *node = velo_node_at(region, index);
    if (node->links > 0 || node->state == VELO_BACKED) /* or somebody may have it open still */
        velo_renamed_locked(region, index);
    if (node->links == 0)
        velo_node_drop_locked(region, index);
}

void velo_touch_locked(struct velo_region *region, uint32_t index)
{
    struct velo_node *directory = velo_node_at(region, index);
    const int64_t now = velo_stamp(region, (directory->flags & VELO_NODE_QUERIED) != 0);
    velo_set_time(region, &directory->mtime_ns, now);
    velo_set_time(region, &directory->ctime_ns, now);
    velo_set32(region, &directory->flags,
               (directory->flags | VELO_NODE_TIMES) & ~(uint32_t)VELO_NODE_QUERIED);
}

int velo_on_disk(const struct velo_region *region, const struct velo_node *node)
{
    uint32_t index = node->state == VELO_DISK ? 0 : node->first_name;
    for (; index != 0; index = velo_name_at(region, index)->next_of_node)
        if (velo_name_at(region, index)->disk_version != node->version)
            return 0;
    return 1;
}

void velo_program_locked(struct velo_region *region, uint32_t index)
{
    struct velo_node *node = velo_node_at(region, index);
    struct velo_header *header = region->header;
    const int wanted = (node->flags & VELO_NODE_PROGRAM) != 0 && node->links > 0 &&
                       node->state != VELO_DISK && !velo_on_disk(region, node);
    const int counted = (node->flags & VELO_NODE_PENDING) != 0;
    if (wanted == counted)
        return;
    velo_set32(region, &node->flags, node->flags ^ VELO_NODE_PENDING);
    velo_set32(region, &header->programs_pending,
               header->programs_pending + (uint32_t)(wanted - counted));
}

void velo_dirty_locked(struct velo_region *region, uint32_t index)
{
    struct velo_node *node = velo_node_at(region, index);
    velo_set64(region, &node->version, node->version + 1);
    velo_program_locked(region, index);
}

void velo_charge_set_locked(struct velo_region *region, uint32_t index, uint64_t bytes)
{
    struct velo_node *node = velo_node_at(region, index);
    struct velo_slice *slice = &region->header->slices[node->home % VELO_SHARDS_MAX];
    velo_set64(region, &slice->used_bytes, slice->used_bytes + bytes - node->charged);
    velo_set64(region, &node->charged, bytes);
}

static uint32_t leaf_below(const struct velo_region *region, uint32_t index)
{
    for (unsigned depth = 0; depth < VELO_DEPTH_MAX; depth++) {
        const struct velo_node *node = velo_node_at(region, velo_name_at(region, index)->node);
        if (node->type != VELO_DIRECTORY || node->first_entry == 0)
            return index;
        index = node->first_entry;
    }
    return index;
}

void velo_forget(struct velo_region *region, uint32_t parent, const char *text, size_t length)
{
    int waits = 0;
    for (int more = 1; more;) {
        struct velo_hold hold;
        velo_begin(region, &hold);
        const uint32_t top = velo_name_find(region, parent, text, length);
        if (top != 0) {
            const uint32_t leaf = leaf_below(region, top);
            const uint32_t putter = velo_name_at(region, leaf)->putter;
            if (putter != 0 && waits++ < FORGET_WAITS_MAX &&
                velo_putter_alive(region, putter)) {
                velo_commit(region, &hold);
                velo_os_pause(VELO_PUTTER_PAUSE_NS);
                continue;
            }
            const uint32_t node = velo_name_at(region, leaf)->node;
            velo_name_remove_locked(region, leaf);
            if (velo_node_at(region, node)->links == 0)
                velo_node_drop_locked(region, node);
            more = leaf != top;
        } else {
            more = 0;
        }
        velo_commit(region, &hold);
    }
}

void velo_node_drop_locked(struct velo_region *region, uint32_t index)
{
    struct velo_node *node = velo_node_at(region, index);
    if (node->type == VELO_REGULAR && node->state == VELO_BACKED) {
        /* Its disk copy is gone, and the disk may give that inode number to another file. */
        velo_identity_clear_locked(region, index, VELO_ID_DISK);
        velo_program_locked(region, index);
        return;
    }
    if (node->type == VELO_REGULAR && node->identity[VELO_ID_ARENA].linked) {
        /* Somebody may know it by O_PATH, which no lease tells of: kept for as long as the arena. */
        velo_identity_clear_locked(region, index, VELO_ID_DISK);
        velo_set64(region, &node->settled, node->version);
        return;
    }
    velo_node_free_locked(region, index);
}
