/* moved.c - a directory that is no more at its path, by an outsider's doing.  See moved.h. */
#include "moved.h"

#include "copy.h"
#include "kernel/os.h"
#include "core/tree/tree.h"
#include "tether.h"
#include "writeback.h"

struct waiting {
    velo_node_id node, parent;
};

/* The files that wait below `top`, by a walk of its names; at most `room` of them. */
static uint32_t collect_locked(const struct velo_region *region, velo_node_id top,
                               struct waiting *out, uint32_t room)
{
    velo_node_id directory = top;
    uint32_t count = 0;
    velo_name_id at = velo_node_at(region, top)->first_entry;
    for (uint32_t left = velo_walk_steps_max(region);
         left > 0 && count < room && (velo_is_name(at) || !velo_same_node(directory, top));
         left--) {
        if (!velo_is_name(at)) { /* up again, to what follows */
            const struct velo_name *above =
                velo_name_at(region, velo_node_at(region, directory)->first_name);
            directory = above->parent;
            at = above->next_entry;
            continue;
        }
        const struct velo_name *name = velo_name_at(region, at);
        const struct velo_node *node = velo_node_at(region, name->node);
        at = name->next_entry;
        if (node->type == VELO_DIRECTORY) {
            directory = name->node;
            at = node->first_entry;
        } else if (node->type == VELO_REGULAR && node->state != VELO_DISK &&
                   name->disk_version != node->version) {
            out[count++] = (struct waiting){velo_node_id_of(region, node), directory};
        }
    }
    return count;
}

static void writeback_all(struct velo_region *region, const struct waiting *all, uint32_t count)
{
    velo_node_id known = VELO_NO_NODE;
    int has_tether = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!velo_same_node(all[i].parent, known)) {
            const int fd = velo_tethered(region, all[i].parent);
            has_tether = fd >= 0;
            known = all[i].parent;
            if (has_tether)
                velo_os_close(fd);
        }
        if (has_tether && velo_load(region, all[i].node) == 0)
            velo_writeback(region, all[i].node, VELO_FLUSH_NO_REFRESH);
    }
}

void velo_flush_tethered(struct velo_region *region, velo_node_id directory)
{
    const uint32_t room = velo_at_most(&region->header->names.used, region->names.count);
    const size_t bytes = ((size_t)room + 1) * sizeof(struct waiting);
    struct waiting *all = velo_os_memory(bytes);
    if (all == NULL)
        return;
    struct velo_hold hold;
    velo_begin(region, &hold);
    const int known = velo_node_at(region, directory)->type == VELO_DIRECTORY;
    const uint32_t count = known ? collect_locked(region, directory, all, room) : 0;
    velo_commit(region, &hold);
    writeback_all(region, all, count);
    velo_os_unmap(all, bytes);
}

void velo_forget_moved(struct velo_region *region, velo_node_id parent, const char *text,
                       size_t length)
{
    struct velo_hold hold;
    velo_begin(region, &hold);
    const velo_name_id name = velo_name_find(region, parent, text, length);
    const velo_node_id node = velo_is_name(name) ? velo_name_at(region, name)->node : VELO_NO_NODE;
    const int is_directory =
        velo_is_node(node) && velo_node_at(region, node)->type == VELO_DIRECTORY;
    velo_commit(region, &hold);
    if (is_directory)
        velo_flush_tethered(region, node);
    velo_forget(region, parent, text, length);
}
