/* removed.c - what becomes of files whose bytes in memory an outsider removed.
 *
 * In    such a file, as disk/missing.h tells, and what the server knows of the store
 * Out   its bytes are where they still are; or its names are what the disk has
 * Never a name that goes without a message: velo_missing changes nothing when the bytes are nowhere; the caller
 *       reports the names, and then calls velo_missing_drop */
#include "core/tree/tree.h"

#include "core/arena/layout.h"
#include "core/disk/missing.h"
#include "core/disk/reconcile.h"

#define NAMES_A_FILE_MAX 65536

static void leave_memory_locked(struct velo_region *region, velo_node_id index,
                                enum velo_state state)
{
    struct velo_node *node = velo_node_at(region, index);
    velo_charge_set_locked(region, index, 0);
    if ((node->flags & VELO_NODE_HAS_OPATH_FD) == 0)
        velo_identity_clear_locked(region, index, VELO_ID_ARENA);
    velo_state_set_locked(region, index, state);
    velo_set64(region, &node->backing, 0);
    if (state == VELO_DISK) /* as when it is evicted (shard.c) */
        velo_set_time(region, &node->copied_ns,
                      velo_name_at(region, node->first_name)->disk_ctime_ns);
}

enum velo_missing velo_missing(struct velo_region *region, velo_node_id index, int in_store)
{
    struct velo_hold hold;
    velo_begin(region, &hold);
    const struct velo_node *node = velo_node_at(region, index);
    enum velo_missing found = VELO_NOT_MISSING;
    if (velo_is_missing_locked(region, node)) {
        found = VELO_MISSING_LOST;
        if (velo_on_disk(region, node))
            found = VELO_MISSING_ON_DISK;
        else if (in_store && node->stored == node->version && node->refreshed == node->version)
            found = VELO_MISSING_STORED;
    }
    if (found == VELO_MISSING_ON_DISK || found == VELO_MISSING_STORED)
        leave_memory_locked(region, index, found == VELO_MISSING_ON_DISK ? VELO_DISK : VELO_COLD);
    velo_commit(region, &hold);
    return found;
}

/* A name of the missing file; its length, or 0 when there is none, or still the last one: a wild store keeps that
 * from being taken. */
static size_t one_name(struct velo_region *region, velo_node_id index, velo_name_id *last,
                       velo_node_id *parent, char text[VELO_NAME_MAX + 1])
{
    struct velo_hold hold;
    size_t length = 0;
    velo_begin(region, &hold);
    const struct velo_node *node = velo_node_at(region, index);
    if (velo_is_missing_locked(region, node) && !velo_same_name(node->first_name, *last)) {
        const struct velo_name *name = velo_name_at(region, node->first_name);
        *last = node->first_name;
        *parent = name->parent;
        length = velo_name_text(region, name, text);
    }
    velo_commit(region, &hold);
    return length;
}

int velo_missing_drop(struct velo_region *region, velo_node_id index)
{
    char text[VELO_NAME_MAX + 1];
    velo_node_id parent;
    velo_name_id last = VELO_NO_NAME;
    size_t length;
    int count = 0;
    while (count < NAMES_A_FILE_MAX &&
           (length = one_name(region, index, &last, &parent, text)) != 0) {
        const int rc = velo_take_from_disk(region, parent, text, length);
        if (rc != 0)
            return rc;
        count++;
    }
    return count;
}
