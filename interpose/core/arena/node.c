/* node.c - what is stored in a node's words, and which kernel inode is which node.  See node.h. */
#include "node.h"

#include <string.h>

#include "kernel/text.h"

uint32_t velo_hash(uint64_t seed, const char *text, size_t length)
{
    return (uint32_t)(velo_text_hash(seed, text, length) >> 32);
}

uint32_t velo_home_of(const struct velo_region *region, const char *path, size_t length)
{
    return velo_hash(0, path, length) % region->shard_count;
}

static void word_set_locked(struct velo_region *region, velo_node_id index, unsigned type,
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

void velo_type_set_locked(struct velo_region *region, velo_node_id index, enum velo_type type)
{
    word_set_locked(region, index, type, 0, 0);
}

void velo_state_set_locked(struct velo_region *region, velo_node_id index, enum velo_state state)
{
    const struct velo_node *node = velo_node_at(region, index);
    word_set_locked(region, index, node->type, state, node->home);
}

void velo_charge_set_locked(struct velo_region *region, velo_node_id index, uint64_t bytes)
{
    struct velo_node *node = velo_node_at(region, index);
    struct velo_slice *slice = &region->header->slices[node->home % VELO_SHARDS_MAX];
    velo_set64(region, &slice->used_bytes, slice->used_bytes + bytes - node->charged);
    velo_set64(region, &node->charged, bytes);
}

static uint32_t *identity_bucket(const struct velo_region *region, uint64_t device, uint64_t inode)
{
    uint32_t *table = (void *)(region->base + region->identity_heads.offset);
    const uint64_t mixed = (inode ^ device << 40) * 0x9e3779b97f4a7c15ull;
    return &table[(mixed >> 32) & (region->identity_heads.count - 1)];
}

static struct velo_identity *identity_at(const struct velo_region *region, uint32_t link)
{
    return &velo_node_at(region, velo_node_from(link >> 1))->identity[link & 1];
}

void velo_identity_clear_locked(struct velo_region *region, velo_node_id node, unsigned which)
{
    struct velo_identity *identity = &velo_node_at(region, node)->identity[which];
    if (!identity->linked)
        return;
    const uint32_t wanted = node.slot << 1 | which;
    uint32_t *link = identity_bucket(region, identity->device, identity->inode);
    for (uint32_t left = 2 * region->nodes.count; /* a wild store can make a circle */
         left > 0 && *link != 0 && *link != wanted; left--)
        link = &identity_at(region, *link)->next;
    if (*link == wanted)
        velo_set32(region, link, identity->next);
    velo_set32(region, &identity->linked, 0);
}

void velo_identity_set_locked(struct velo_region *region, velo_node_id node, unsigned which,
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
    velo_set32(region, bucket, node.slot << 1 | which);
}

velo_node_id velo_identity_find(const struct velo_region *region, uint64_t device, uint64_t inode)
{
    uint32_t link = VELO_READ(*identity_bucket(region, device, inode));
    for (uint32_t steps = 0; link != 0 && steps < 2 * region->nodes.count; steps++) {
        const struct velo_identity *identity = identity_at(region, link);
        if (VELO_READ(identity->inode) == inode && VELO_READ(identity->device) == device)
            return velo_node_from(link >> 1);
        link = VELO_READ(identity->next);
    }
    return VELO_NO_NODE;
}
