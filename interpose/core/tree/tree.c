/* tree.c - names in and out of the tree, and what a node says of itself.  See tree.h. */
#include "tree.h"

#include <string.h>

#include "kernel/os.h"
#include "core/arena/process.h"

#define FORGET_WAITS_MAX 20000 /* a second */

void velo_name_flags_locked(struct velo_region *region, velo_name_id index, unsigned flags)
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

void velo_name_disk_locked(struct velo_region *region, velo_name_id index, uint64_t version,
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
    velo_name_flags_locked(region, index,
                           stat == NULL ? 0
                           : poisoned   ? VELO_NAME_ON_DISK | VELO_NAME_POISON
                                        : VELO_NAME_ON_DISK);
}

void velo_names_record_locked(struct velo_region *region, velo_node_id node,
                              const struct stat *stat)
{
    uint32_t steps = 0;
    for (velo_name_id index = velo_node_at(region, node)->first_name; velo_is_name(index);
         index = velo_next_of_node(region, index, &steps)) {
        struct velo_name *name = velo_name_at(region, index);
        if ((name->flags & VELO_NAME_ON_DISK) == 0 || name->disk_inode != stat->st_ino)
            continue;
        __atomic_store_n(&name->disk_size, (uint64_t)stat->st_size, __ATOMIC_RELAXED);
        __atomic_store_n(&name->disk_mtime_ns, velo_ns(&stat->st_mtim), __ATOMIC_RELAXED);
        __atomic_store_n(&name->disk_ctime_ns, velo_ns(&stat->st_ctim), __ATOMIC_RELAXED);
    }
}

/* ---- identities ---------------------------------------------------------------------------- */

static velo_node_id find_reachable(const struct velo_region *region, const struct stat *kernel)
{
    const velo_node_id node = velo_identity_find(region, kernel->st_dev, kernel->st_ino);
    const uint32_t kernels = VELO_NODE_PATH_TOO_LONG | VELO_NODE_MOUNT | VELO_NODE_RETIRED;
    return (VELO_READ(velo_node_at(region, node)->flags) & kernels) != 0 ? VELO_NO_NODE : node;
}

velo_node_id velo_node_of(struct velo_region *region, const struct stat *kernel)
{
    for (int attempt = 0; attempt < 1000; attempt++) {
        const uint64_t sequence = velo_read_begin(region);
        if ((sequence & 1) != 0)
            break;
        const velo_node_id node = find_reachable(region, kernel);
        if (!velo_read_retry(region, sequence))
            return node;
    }
    struct velo_hold hold;
    velo_begin(region, &hold);
    const velo_node_id node = find_reachable(region, kernel);
    velo_commit(region, &hold);
    return node;
}

/* ---- attributes ---------------------------------------------------------------------------- */

void velo_take_stat_locked(struct velo_region *region, velo_node_id index, const struct stat *from)
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

void velo_linked_outside_locked(struct velo_region *region, velo_node_id index,
                                const struct stat *disk)
{
    struct velo_node *node = velo_node_at(region, index);
    if (node->type != VELO_DIRECTORY && (node->type != VELO_REGULAR || node->state == VELO_DISK) &&
        disk->st_nlink > node->links)
        velo_set32(region, &node->flags, node->flags | VELO_NODE_LINKED_OUTSIDE);
}

void velo_not_linked_outside_locked(struct velo_region *region, velo_node_id index,
                                    const struct stat *disk)
{
    struct velo_node *node = velo_node_at(region, index);
    if ((node->flags & VELO_NODE_LINKED_OUTSIDE) == 0 || disk->st_nlink != node->links)
        return;
    velo_set32(region, &node->flags, node->flags & ~(uint32_t)VELO_NODE_LINKED_OUTSIDE);
    velo_take_stat_locked(region, index, disk); /* believed from now on */
    velo_names_record_locked(region, index, disk);
}

int velo_on_disk(const struct velo_region *region, const struct velo_node *node)
{
    velo_name_id index = node->state == VELO_DISK ? VELO_NO_NAME : node->first_name;
    uint32_t steps = 0;
    for (; velo_is_name(index); index = velo_next_of_node(region, index, &steps))
        if (velo_name_at(region, index)->disk_version != node->version)
            return 0;
    return 1;
}

void velo_program_locked(struct velo_region *region, velo_node_id index)
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

void velo_dirty_locked(struct velo_region *region, velo_node_id index)
{
    struct velo_node *node = velo_node_at(region, index);
    velo_set64(region, &node->version, node->version + 1);
    velo_program_locked(region, index);
}

static velo_name_id leaf_below(const struct velo_region *region, velo_name_id index)
{
    for (unsigned depth = 0; depth < VELO_DEPTH_MAX; depth++) {
        const struct velo_node *node = velo_node_at(region, velo_name_at(region, index)->node);
        if (node->type != VELO_DIRECTORY || !velo_is_name(node->first_entry))
            return index;
        index = node->first_entry;
    }
    return index;
}

void velo_forget(struct velo_region *region, velo_node_id parent, const char *text, size_t length)
{
    int waits = 0;
    uint32_t left = region->names.count; /* a wild store can make a circle of what is below */
    for (int more = 1; more;) {
        struct velo_hold hold;
        velo_begin(region, &hold);
        const velo_name_id top = velo_name_find(region, parent, text, length);
        if (velo_is_name(top)) {
            const velo_name_id leaf = left-- > 0 ? leaf_below(region, top) : top;
            const uint32_t writer = velo_name_at(region, leaf)->writer;
            if (writer != 0 && waits++ < FORGET_WAITS_MAX && velo_writer_alive(region, writer)) {
                velo_commit(region, &hold);
                velo_os_pause(VELO_WRITER_PAUSE_NS);
                continue;
            }
            const velo_node_id node = velo_name_at(region, leaf)->node;
            velo_name_remove_locked(region, leaf);
            if (velo_node_at(region, node)->links == 0)
                velo_node_drop_locked(region, node);
            more = !velo_same_name(leaf, top);
        } else {
            more = 0;
        }
        velo_commit(region, &hold);
    }
}

void velo_node_drop_locked(struct velo_region *region, velo_node_id index)
{
    struct velo_node *node = velo_node_at(region, index);
    if (node->type == VELO_REGULAR && node->state == VELO_BACKED) {
        /* Its disk copy is gone, and the disk may give that inode number to another file. */
        velo_identity_clear_locked(region, index, VELO_ID_DISK);
        velo_program_locked(region, index);
        return;
    }
    if (node->type == VELO_REGULAR && node->identity[VELO_ID_ARENA].linked) {
        /* A process may know it by O_PATH, which no lease tells of: kept for as long as the arena. */
        velo_identity_clear_locked(region, index, VELO_ID_DISK);
        velo_set64(region, &node->refreshed, node->version);
        return;
    }
    velo_node_free_locked(region, index);
}
