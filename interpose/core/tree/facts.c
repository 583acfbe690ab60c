/* facts.c - what callers may know of an arena and of a node: the loads behind core/facts.h.
 *
 * Never the lock; each is right at some moment of the call. */
#include <errno.h>
#include <string.h>

#include "core/arena/lock.h"
#include "core/arena/node.h"
#include "kernel/text.h"

/* ---- of an arena ----------------------------------------------------------------------------- */

const char *velo_socket_of(const struct velo_region *region)
{
    return region->header->socket;
}

const char *velo_workspace_of(const struct velo_region *region)
{
    return region->header->workspace;
}

void velo_arena_mark(const char *directory, char mark[VELO_MARK_BYTES])
{
    memcpy(mark, "VELO_ARENA=@", 12);
    velo_write_decimal(mark + 12, velo_hash(0, directory, strlen(directory)));
}

uint32_t velo_lock_owner(const struct velo_region *region)
{
    return atomic_load_explicit(&region->header->lock.word, memory_order_relaxed) &
           ~VELO_LOCK_WAITERS;
}

uint32_t velo_shard_count(const struct velo_region *region)
{
    return region->shard_count;
}

uint64_t velo_max_memory(const struct velo_region *region)
{
    return region->header->max_memory_bytes;
}

uint32_t velo_root_count(const struct velo_region *region)
{
    return velo_roots_used(region);
}

const char *velo_root_path(const struct velo_region *region, uint32_t index)
{
    const struct velo_root *root = &region->header->roots[index];
    return velo_is_node(VELO_READ_ID(root->node)) ? root->path : NULL;
}

const char *velo_root_above(const struct velo_region *region, velo_node_id node)
{
    for (uint32_t steps = 0; velo_is_node(node) && steps < VELO_DEPTH_MAX; steps++) {
        const uint32_t slot = VELO_READ(velo_node_at(region, node)->root_slot);
        if (slot != 0)
            return slot <= VELO_ROOTS_MAX ? velo_root_path(region, slot - 1) : NULL;
        node = velo_parent_of(region, node);
    }
    return NULL;
}

/* "a/b/" is anchored by its inner slash, "/name/" by its first, an absolute one has it. */
int velo_pattern_text(const struct velo_region *region, uint32_t index,
                      char text[VELO_PATTERN_TEXT])
{
    const struct velo_header *header = region->header;
    if (index >= velo_patterns_used(header))
        return 0;
    const char *body = header->patterns[index].text;
    const int slash = header->patterns[index].anchored && !header->patterns[index].absolute &&
                      strchr(body, '/') == NULL;
    const size_t length = strnlen(body, VELO_PATTERN_TEXT - 3);
    char *end = text;
    if (slash)
        *end++ = '/';
    memcpy(end, body, length);
    memcpy(end + length, "/", 2);
    return 1;
}

int velo_ends_pattern(const struct velo_region *region, const char *name, size_t length)
{
    const struct velo_header *header = region->header;
    for (uint32_t i = 0; i < velo_patterns_used(header); i++) {
        const size_t whole = header->patterns[i].length;
        const char *text = header->patterns[i].text;
        if (whole < length || memcmp(text + whole - length, name, length) != 0)
            continue;
        if (whole == length || text[whole - length - 1] == '/')
            return 1;
    }
    return 0;
}

uint32_t velo_outside_epoch(const struct velo_region *region)
{
    return atomic_load_explicit(&region->header->outside_epoch, memory_order_relaxed);
}

void velo_outside_changed(struct velo_region *region)
{
    atomic_fetch_add(&region->header->outside_epoch, 1);
}

int velo_fifos_heeded(const struct velo_region *region)
{
    return atomic_load_explicit(&region->header->fifos, memory_order_relaxed) != 0;
}

const char *velo_opaque_name(const struct velo_region *region, uint32_t index, size_t *length)
{
    const struct velo_tally *tally = &region->header->opaque[index % VELO_NAMES_MAX];
    *length = strnlen(tally->name, sizeof tally->name);
    return tally->name;
}

int velo_pulse(const struct velo_region *region, uint32_t home, struct velo_pulse *out)
{
    struct velo_header *header = region->header;
    if (home >= region->shard_count)
        return -EINVAL;
    *out = (struct velo_pulse){
        .activity = atomic_load_explicit(&header->activity, memory_order_relaxed),
        .used_bytes = VELO_READ(header->slices[home].used_bytes),
        .limit_bytes = header->slices[home].limit_bytes,
        .paused = atomic_load_explicit(&header->paused, memory_order_relaxed) != 0,
    };
    return 0;
}

/* ---- of a node ------------------------------------------------------------------------------- */

uint32_t velo_generation_of(const struct velo_region *region, velo_node_id node)
{
    return VELO_READ(velo_node_at(region, node)->generation);
}

uint64_t velo_inode_of(const struct velo_region *region, velo_node_id node)
{
    return velo_inode_number(velo_node_at(region, node), node);
}

int64_t velo_birth_of(const struct velo_region *region, velo_node_id node)
{
    return VELO_READ(velo_node_at(region, node)->btime_ns);
}

velo_node_id velo_parent_of(const struct velo_region *region, velo_node_id node)
{
    return velo_name_at(region, velo_node_at(region, node)->first_name)->parent;
}

int velo_is_in_memory(const struct velo_region *region, velo_node_id node)
{
    return VELO_READ(velo_node_at(region, node)->state) == VELO_BACKED;
}

int velo_is_directory(const struct velo_region *region, velo_node_id node, uint32_t generation)
{
    const struct velo_node *slot = velo_node_at(region, node);
    return VELO_READ(slot->type) == VELO_DIRECTORY && VELO_READ(slot->generation) == generation;
}
