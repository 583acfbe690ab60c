/* watch.c - what a program watches (inotify, fanotify) is on disk, where the kernel announces it.
 *
 * In    a directory or file that is about to be watched; the question whether one is
 * Out   its regular files on disk, and kept out of memory: new ones are born there, old ones opened
 *       there, as while an opaque program runs (create.c, file.c, copy.c)
 * Never an event that a plain directory would not give: nothing is put in a watched directory later
 *
 * A file in memory is a tmpfs file elsewhere, of which the watcher of its directory would hear
 * nothing.  A file that a process has open when the watch begins stays in memory until it is next
 * opened to be written; writes until then are not announced.
 *
 * VELO_NODE_WATCHED means something only while `header.watching` is not 0, and goes when the last
 * process that ever watched is dead: a program that takes its watch back goes on being a watcher,
 * which costs speed and nothing else. */
#include "watch.h"

#include <errno.h>

#include "kernel/os.h"
#include "core/arena/layout.h"
#include "core/tree/tree.h"

/* ---- watchers -------------------------------------------------------------------------------- */

static int claim_locked(struct velo_header *header, uint32_t pid)
{
    struct velo_watcher *free_slot = NULL;
    for (uint32_t i = 0; i < VELO_WATCHERS_MAX; i++) {
        struct velo_watcher *slot = &header->watchers[i];
        const uint32_t seen = atomic_load(&slot->pid);
        if (seen == pid && !velo_thread_dead(pid, atomic_load(&slot->since_ns)))
            return 0;
        if (seen == 0 && free_slot == NULL)
            free_slot = slot;
    }
    if (free_slot == NULL)
        return -ENOSPC;
    atomic_store(&free_slot->since_ns, velo_boottime_ns());
    atomic_store(&free_slot->pid, pid);
    return 0;
}

static uint32_t count_living_locked(struct velo_header *header)
{
    uint32_t alive = 0;
    for (uint32_t i = 0; i < VELO_WATCHERS_MAX; i++) {
        struct velo_watcher *slot = &header->watchers[i];
        const uint32_t pid = atomic_load(&slot->pid);
        if (pid != 0 && velo_thread_dead(pid, atomic_load(&slot->since_ns)))
            atomic_store(&slot->pid, 0);
        else
            alive += pid != 0;
    }
    return alive;
}

int velo_watcher_enter_locked(struct velo_header *header)
{
    const int rc = claim_locked(header, (uint32_t)velo_sys0(SYS_getpid));
    if (rc == 0)
        atomic_store(&header->watching, count_living_locked(header));
    return rc;
}

/* After the last watcher's end: nothing is watched. Each step asks again, for there may be a new one. */
static void forget_flags(struct velo_region *region)
{
    const uint32_t used = velo_nodes_used(region);
    for (velo_node_id index = velo_node_from(1); index.slot < used; index.slot++) {
        struct velo_node *node = velo_node_at(region, index);
        struct velo_hold hold;
        if ((VELO_READ(node->flags) & VELO_NODE_WATCHED) == 0)
            continue;
        velo_begin(region, &hold);
        if (atomic_load(&region->header->watching) == 0)
            velo_set32(region, &node->flags, node->flags & ~(uint32_t)VELO_NODE_WATCHED);
        velo_commit(region, &hold);
    }
}

void velo_watchers_reap(struct velo_region *region)
{
    struct velo_header *header = region->header;
    struct velo_hold hold;
    if (atomic_load(&header->watching) == 0)
        return;
    velo_begin(region, &hold);
    const uint32_t alive = count_living_locked(header);
    atomic_store(&header->watching, alive);
    velo_commit(region, &hold);
    if (alive == 0)
        forget_flags(region);
}

/* ---- what is watched ------------------------------------------------------------------------- */

static int flagged(const struct velo_region *region, velo_node_id node)
{
    return (VELO_READ(velo_node_at(region, node)->flags) & VELO_NODE_WATCHED) != 0;
}

int velo_is_watched(const struct velo_region *region, velo_node_id node)
{
    return atomic_load_explicit(&region->header->watching, memory_order_relaxed) != 0 &&
           flagged(region, node);
}

void velo_disk_step_locked(struct velo_region *region, velo_node_id directory, velo_node_id other)
{
    atomic_store(&region->header->disk_step_other, other);
    atomic_store(&region->header->disk_step, directory);
    if (velo_is_watched(region, directory) || velo_is_watched(region, other))
        velo_readers_wait(region);
}

int velo_belongs_on_disk(struct velo_region *region, velo_node_id index)
{
    if (atomic_load_explicit(&region->header->watching, memory_order_relaxed) == 0)
        return 0;
    struct velo_hold hold;
    velo_begin(region, &hold);
    int found = flagged(region, index);
    velo_name_id name = velo_node_at(region, index)->first_name;
    uint32_t steps = 0;
    for (; velo_is_name(name) && !found; name = velo_next_of_node(region, name, &steps))
        found = flagged(region, velo_name_at(region, name)->parent);
    velo_commit(region, &hold);
    return found;
}

int velo_takes_watched_name(const struct velo_region *region, const struct velo_place *to)
{
    return velo_is_watched(region, to->at.parent) ||
           (velo_is_node(to->at.node) &&
            velo_is_watched(region, to->at.node)); /* its end is announced, too */
}

int velo_listing_is_heard(const struct velo_region *region, velo_node_id directory)
{
    return velo_is_watched(region, directory) ||
           velo_is_watched(region, VELO_READ_ID(velo_node_at(region, directory)->parent));
}
