/* check.c - is the tree whole?  Walks everything under the lock and names the first invariant of
 * layout.h that does not hold.  Each walk has a bound, so a cycle is a finding and not a hang. */
#include "core/tree/tree.h"

#include <errno.h>
#include <string.h>

#include "kernel/os.h"

struct finding {
    char *out;
    size_t size;
    int broken;
};

static void append_text(struct finding *finding, size_t *at, const char *text)
{
    while (*text != 0 && *at + 1 < finding->size)
        finding->out[(*at)++] = *text++;
}

static int broken(struct finding *finding, const char *what, uint32_t where)
{
    char digits[12];
    size_t at = 0, first = sizeof digits - 1;
    digits[first] = 0;
    do
        digits[--first] = (char)('0' + where % 10);
    while ((where /= 10) != 0);
    append_text(finding, &at, what);
    append_text(finding, &at, ", slot ");
    append_text(finding, &at, digits + first);
    if (finding->size > 0)
        finding->out[at] = 0;
    finding->broken = 1;
    return -EUCLEAN;
}

static int check_pool(struct velo_region *region, const struct velo_pool *pool,
                      const struct velo_table *table, struct finding *finding)
{
    if ((pool->used > pool->committed && pool->used > 1) || pool->used > table->count)
        return broken(finding, "I6: used slots beyond the committed ones", pool->used);
    uint32_t slot = pool->free_head, count = 0;
    for (; slot != 0 && count <= pool->used; count++) {
        if (slot >= pool->used)
            return broken(finding, "I6: free list leaves the pool", slot);
        slot = *(uint32_t *)(void *)(region->base + table->offset +
                                     (uint64_t)slot * table->slot_bytes);
    }
    if (count != pool->free_count)
        return broken(finding, "I6: free list is not as long as counted", count);
    return 0;
}

static int check_names_of(struct velo_region *region, velo_node_id index, struct finding *finding)
{
    const struct velo_node *node = velo_node_at(region, index);
    uint32_t count = 0;
    for (velo_name_id name = node->first_name; velo_is_name(name);
         name = velo_next_of_node(region, name, &count)) {
        if (!velo_same_node(velo_name_at(region, name)->node, index))
            return broken(finding, "I2: a node's list holds another node's name", index.slot);
    }
    const uint32_t expected = node->root_slot != 0 ? node->links - 1 : node->links;
    if (count != expected)
        return broken(finding, "I3: links differ from the list of names", index.slot);
    if (node->type == VELO_DIRECTORY && node->links != 1)
        return broken(finding, "I3: a directory has more than one name", index.slot);
    return 0;
}

static int check_directory(struct velo_region *region, velo_node_id index, struct finding *finding)
{
    const struct velo_node *node = velo_node_at(region, index);
    uint32_t count = 0, directories = 0;
    velo_name_id previous = VELO_NO_NAME;
    char text[VELO_NAME_MAX + 1];
    for (velo_name_id name = node->first_entry; velo_is_name(name);) {
        const struct velo_name *entry = velo_name_at(region, name);
        const struct velo_node *child = velo_node_at(region, entry->node);
        if (!velo_same_node(entry->parent, index) ||
            !velo_same_name(entry->previous_entry, previous) || ++count > region->names.count)
            return broken(finding, "I2: a directory's list is torn", index.slot);
        if (child->type == VELO_NONE)
            return broken(finding, "I1: a name leads to a free node", name.slot);
        if (child->type == VELO_DIRECTORY && !velo_same_node(child->parent, index))
            return broken(finding, "I3: a directory does not know its parent", entry->node.slot);
        directories += child->type == VELO_DIRECTORY;
        const size_t length = velo_name_text(region, entry, text);
        if (!velo_same_name(velo_name_find(region, index, text, length), name))
            return broken(finding, "I2: a name is not found by its text", name.slot);
        previous = name;
        name = entry->next_entry;
    }
    if (count != node->entries)
        return broken(finding, "I4: entries differ from the list", index.slot);
    if (directories != node->subdirectories)
        return broken(finding, "I4: subdirectories differ from the list", index.slot);
    return 0;
}

static int check_identity(struct velo_region *region, velo_node_id index, struct finding *finding)
{
    const struct velo_node *node = velo_node_at(region, index);
    for (unsigned which = 0; which < 2; which++) {
        const struct velo_identity *identity = &node->identity[which];
        if (identity->linked &&
            !velo_is_node(velo_identity_find(region, identity->device, identity->inode)))
            return broken(finding, "I5: an identity is not in its table", index.slot);
    }
    if (node->type == VELO_REGULAR && node->state == VELO_BACKED &&
        (!node->identity[VELO_ID_ARENA].linked || node->backing == 0))
        return broken(finding, "I5: a file in memory has no identity there", index.slot);
    return 0;
}

static int check_nodes(struct velo_region *region, struct finding *finding)
{
    struct velo_header *header = region->header;
    uint64_t charged[VELO_SHARDS_MAX] = {0};
    uint32_t live = 0, names = 0, pending = 0;
    for (velo_node_id index = velo_node_from(1); index.slot < velo_nodes_used(region);
         index.slot++) {
        const struct velo_node *node = velo_node_at(region, index);
        if (node->type == VELO_NONE)
            continue;
        live++;
        int rc = check_names_of(region, index, finding);
        if (rc == 0 && node->type == VELO_DIRECTORY)
            rc = check_directory(region, index, finding);
        if (rc == 0)
            rc = check_identity(region, index, finding);
        if (rc != 0)
            return rc;
        names += (node->root_slot != 0 ? 0 : node->links) + (velo_is_name(node->last_name) ? 1 : 0);
        charged[node->home % VELO_SHARDS_MAX] += node->charged;
        pending += (node->flags & VELO_NODE_PENDING) != 0;
    }
    if (live + header->nodes.free_count + 1 != velo_nodes_used(region))
        return broken(finding, "I6: a node is neither free nor alive", live);
    if (names + header->names.free_count + 1 != header->names.used)
        return broken(finding, "I6: a name is neither free nor used", names);
    if (pending != header->programs_pending)
        return broken(finding, "I8: programs pending differ from the count", pending);
    for (uint32_t i = 0; i < VELO_SHARDS_MAX; i++)
        if (charged[i] != header->slices[i].used_bytes)
            return broken(finding, "I8: a slice's charge differs from its files'", i);
    return 0;
}

int velo_check(struct velo_region *region, char *why, size_t why_size)
{
    struct finding finding = {.out = why, .size = why_size};
    struct velo_header *header = region->header;
    struct velo_hold hold;
    velo_begin(region, &hold);
    int rc = 0;
    if (atomic_load(&header->undo_count) != 0 || (atomic_load(&header->sequence) & 1) != 0)
        rc = broken(&finding, "I7: old values are left after recovery", 0);
    if (rc == 0)
        rc = check_pool(region, &header->nodes, &region->nodes, &finding);
    if (rc == 0)
        rc = check_pool(region, &header->names, &region->names, &finding);
    if (rc == 0)
        rc = check_pool(region, &header->chunks, &region->chunks, &finding);
    if (rc == 0)
        rc = check_nodes(region, &finding);
    velo_commit(region, &hold);
    return rc;
}
