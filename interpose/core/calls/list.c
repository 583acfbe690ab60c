/* list.c - the names of a directory, as a snapshot.
 *
 * In    a directory's node
 * Out   each name with inode number and type, told without the lock: the caller may do anything
 * Never a name twice, and never without a name that was there all the time: the list is copied whole, or
 *       copied again */
#include "core/tree/tree.h"

#include <errno.h>
#include <string.h>

#include "kernel/os.h"
#include "core/disk/reconcile.h"

struct entry {
    uint64_t inode;
    uint16_t length;
    unsigned char type;
    char text[];
};

static unsigned char dirent_type(uint32_t mode)
{
    return (unsigned char)((mode & S_IFMT) >> 12); /* IFTODT */
}

/* Copy entries into `buffer`. Bytes used, or -ENOBUFS with the bytes wanted in *wanted. */
static long copy_entries(struct velo_region *region, velo_node_id directory, unsigned char *buffer,
                         size_t size)
{
    size_t used = 0;
    velo_name_id index = VELO_READ_ID(velo_node_at(region, directory)->first_entry);
    for (uint32_t steps = 0; velo_is_name(index); steps++) {
        if (steps > region->names.count || used + 32 + VELO_NAME_MAX > size)
            return -ENOBUFS;
        const struct velo_name *name = velo_name_at(region, index);
        const velo_node_id child = VELO_READ_ID(name->node);
        const struct velo_node *node = velo_node_at(region, child);
        struct entry *entry = (struct entry *)(void *)(buffer + used);
        entry->inode = velo_inode_number(node, child);
        entry->type = dirent_type(VELO_READ(node->mode));
        entry->length = (uint16_t)velo_name_text(region, name, entry->text);
        used += (offsetof(struct entry, text) + entry->length + 1u + 7u) & ~7ul;
        index = VELO_READ_ID(name->next_entry);
    }
    return (long)used;
}

static long snapshot(struct velo_region *region, velo_node_id directory, unsigned char *buffer,
                     size_t size)
{
    for (int attempt = 0; attempt < 20; attempt++) {
        const uint64_t sequence = velo_read_begin(region);
        if ((sequence & 1) != 0)
            break;
        const long used = copy_entries(region, directory, buffer, size);
        if (!velo_read_retry(region, sequence))
            return used;
    }
    struct velo_hold hold;
    velo_begin(region, &hold);
    const long used = copy_entries(region, directory, buffer, size);
    velo_commit(region, &hold);
    return used;
}

int velo_list(struct velo_region *region, velo_node_id directory, velo_each_name each,
              void *context)
{
    const struct velo_node *node = velo_node_at(region, directory);
    if (VELO_READ(node->type) != VELO_DIRECTORY)
        return -ENOENT;
    if ((VELO_READ(node->flags) & VELO_NODE_STALE) != 0 || velo_opaque_runs(region))
        velo_directory_refresh(region, directory);
    size_t size = 8192 + (size_t)VELO_READ(node->entries) * 64;
    for (int attempt = 0; attempt < 12; attempt++, size *= 4) {
        unsigned char *buffer = velo_os_memory(size);
        if (buffer == NULL)
            return -ENOMEM;
        const long used = snapshot(region, directory, buffer, size);
        int rc = used < 0 ? (int)used : 0;
        for (long done = 0; rc == 0 && done < used;) {
            const struct entry *entry = (const struct entry *)(const void *)(buffer + done);
            rc = each(context, entry->text, entry->length, entry->inode, entry->type);
            done += (long)((offsetof(struct entry, text) + entry->length + 1u + 7u) & ~7ul);
        }
        velo_os_unmap(buffer, size);
        if (rc != -ENOBUFS)
            return rc;
    }
    return -ENOMEM;
}

/* st_ino of the directory that holds a hosted one; 0 when it cannot be asked for. */
static uint64_t outside_inode(struct velo_region *region, velo_node_id root)
{
    char path[PATH_MAX];
    struct stat stat;
    const int length = velo_path_of(region, root, path);
    if (length <= 0 || (size_t)length + 4 > sizeof path)
        return 0;
    memcpy(path + length, "/..", 4);
    return velo_os_lstat(path, &stat) == 0 ? stat.st_ino : 0;
}

int velo_list_dots(struct velo_region *region, velo_node_id directory, uint64_t *dot,
                   uint64_t *dotdot)
{
    const struct velo_node *node = velo_node_at(region, directory);
    if (VELO_READ(node->type) != VELO_DIRECTORY)
        return -ENOENT;
    const velo_node_id parent = VELO_READ_ID(node->parent);
    *dot = velo_inode_number(node, directory);
    *dotdot = velo_is_node(parent) ? velo_inode_number(velo_node_at(region, parent), parent)
                                   : outside_inode(region, directory);
    return 0;
}
