/* watching.c - a program is about to watch a directory or file: what it is to hear of goes to the disk. */
#include <errno.h>

#include "core/disk/leave.h"
#include "kernel/os.h"
#include "core/tree/tree.h"
#include "core/presence/watch.h"

static int leave_each(void *context, const char *name, size_t length, uint64_t inode,
                      unsigned char type)
{
    (void)name;
    (void)length;
    (void)type;
    struct velo_region *region = context;
    const velo_node_id node =
        velo_node_from((uint32_t)inode); /* its lower half, but of a file that is the disk's */
    if (node.slot < velo_nodes_used(region) &&
        velo_inode_number(velo_node_at(region, node), node) == inode)
        velo_leave_memory(region, node);
    return 0;
}

void velo_watch(struct velo_region *region, velo_node_id index)
{
    struct velo_node *node = velo_node_at(region, index);
    struct velo_hold hold;
    velo_watchers_reap(region);
    velo_begin(region, &hold);
    int rc = node->type == VELO_NONE ? -ENOENT : 0;
    if (rc == 0)
        rc = velo_watcher_enter_locked(region->header);
    if (rc == 0)
        velo_set32(region, &node->flags, node->flags | VELO_NODE_WATCHED);
    const int is_directory = node->type == VELO_DIRECTORY;
    velo_finish(region, &hold, rc);
    if (rc != 0)
        return;
    if (is_directory) {
        velo_list(region, index, leave_each, region);
        if (atomic_load(&node->tether) != 0 && region->ask != NULL)
            region->ask(region, VELO_ASK_UNTETHER, 0, 0); /* shard 0 takes them (worker.py) */
    } else {
        velo_leave_memory(region, index);
    }
}
