/* stats.c - what `velo status` shows of an arena. */
#include "core/disk/space.h"
#include "core/tree/tree.h"

#include <string.h>

#include "kernel/os.h"

static void count_file(const struct velo_region *region, const struct velo_node *node,
                       struct velo_statistics *out)
{
    if (node->links == 0) {
        out->unlinked++;
        return;
    }
    out->files[node->state & 3]++;
    out->file_bytes[node->state & 3] += node->size;
    if (node->state != VELO_DISK && !velo_on_disk(region, node)) {
        out->dirty_files++;
        out->dirty_bytes += node->size;
    }
    out->unstored_files += node->state == VELO_BACKED && node->stored != node->version;
}

static void count_nodes(struct velo_region *region, struct velo_statistics *out)
{
    const uint32_t used = velo_nodes_used(region);
    for (velo_node_id index = velo_node_from(1); index.slot < used; index.slot++) {
        const struct velo_node *node = velo_node_at(region, index);
        struct velo_hold hold;
        if (VELO_READ(node->type) == VELO_NONE)
            continue;
        velo_begin(region, &hold); /* a file's list of names is walked */
        if (node->type == VELO_REGULAR)
            count_file(region, node, out);
        out->directories += node->type == VELO_DIRECTORY;
        out->symlinks += node->type == VELO_SYMLINK;
        out->others += node->type == VELO_OTHER;
        velo_commit(region, &hold);
    }
}

static uint32_t copy_names(struct velo_name_count *out, struct velo_tally *slots)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < VELO_NAMES_MAX; i++) {
        if (atomic_load(&slots[i].claimed) != 2)
            continue;
        memcpy(out[count].name, slots[i].name, sizeof out[count].name);
        out[count].count = atomic_load(&slots[i].count);
        out[count].nanoseconds = atomic_load(&slots[i].nanoseconds);
        count++;
    }
    return count;
}

static uint64_t count_alive(struct velo_header *header)
{
    uint64_t alive = 0;
    for (uint32_t i = 0; i < VELO_PROCESSES_MAX; i++) {
        uint32_t pid = atomic_load(&header->processes[i].pid);
        if (pid == 0)
            continue;
        if (velo_thread_dead(pid, atomic_load(&header->processes[i].since_ns)))
            atomic_compare_exchange_strong(&header->processes[i].pid, &pid, 0);
        else
            alive++;
    }
    return alive;
}

int velo_statistics(struct velo_region *region, struct velo_statistics *out)
{
    struct velo_header *header = region->header;
    memset(out, 0, sizeof *out);
    out->max_memory_bytes = header->max_memory_bytes;
    out->metadata_bytes = velo_metadata_bytes(region);
    out->used_bytes = velo_used_bytes(region);
    for (uint32_t i = 0; i < region->shard_count; i++) {
        out->slice_used_bytes[i] = VELO_READ(header->slices[i].used_bytes);
        out->slice_limit_bytes[i] = header->slices[i].limit_bytes;
    }
    count_nodes(region, out);
    out->activity = atomic_load(&header->activity);
    out->live_processes = count_alive(header);
    out->writebacks = atomic_load(&header->writebacks);
    out->evictions = atomic_load(&header->evictions);
    out->loads = atomic_load(&header->loads);
    out->recoveries = atomic_load(&header->recoveries);
    for (int i = 0; i < VELO_ESCAPE_COUNT; i++)
        out->escapes[i] = atomic_load(&header->escapes[i]);
    out->paused = atomic_load(&header->paused);
    out->interposed_count = copy_names(out->interposed, header->interposed);
    out->opaque_count = copy_names(out->opaque, header->opaque);
    out->raw_count = copy_names(out->raw, header->raw);
    return 0;
}
