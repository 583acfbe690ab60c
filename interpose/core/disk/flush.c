/* flush.c - everything that memory has and the disk has not, in order.
 *
 * By mtime, oldest first, so the tree on disk is at each instant a state of the build's past: a crash
 * in the middle leaves targets missing or old, never too new. */
#include "core/tree/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "copy.h"
#include "temporary.h"
#include "rights.h"
#include "tether.h"
#include "writeback.h"
#include "kernel/os.h"
#include "core/presence/watch.h"
#include "core/tree/path.h"

struct due {
    int64_t mtime_ns;
    velo_node_id node;
    uint32_t reserved;
};

static int later(const struct due *a, const struct due *b)
{
    return a->mtime_ns > b->mtime_ns || (a->mtime_ns == b->mtime_ns && a->node.slot > b->node.slot);
}

/* Heapsort: in place, no worst case, and libc's qsort may call malloc. */
static void sift(struct due *all, size_t at, size_t count)
{
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && later(&all[child + 1], &all[child]))
            child++;
        if (!later(&all[child], &all[at]))
            return;
        const struct due swap = all[at];
        all[at] = all[child];
        all[child] = swap;
    }
}

static void sort_oldest_first(struct due *all, size_t count)
{
    for (size_t i = count / 2; i-- > 0;)
        sift(all, i, count);
    for (size_t end = count; end-- > 1;) {
        const struct due swap = all[0];
        all[0] = all[end];
        all[end] = swap;
        sift(all, 0, end);
    }
}

static int64_t current_mtime(struct velo_region *region, const struct velo_node *node)
{
    if (VELO_READ(node->refreshed) == VELO_READ(node->version) ||
        VELO_READ(node->state) != VELO_BACKED)
        return VELO_READ(node->mtime_ns);
    char path[320];
    struct stat stat;
    velo_backing_path(region, VELO_READ(node->backing), path);
    return velo_os_lstat(path, &stat) == 0 ? velo_ns(&stat.st_mtim) : VELO_READ(node->mtime_ns);
}

static int is_due(const struct velo_region *region, const struct velo_node *node, unsigned flags)
{
    if (node->type != VELO_REGULAR || node->links == 0 || node->state == VELO_COLD)
        return 0;
    if ((flags & VELO_FLUSH_PROGRAMS) != 0 && (node->flags & VELO_NODE_PROGRAM) == 0)
        return 0;
    return !velo_on_disk(region, node);
}

static size_t collect_due(struct velo_region *region, unsigned flags, struct due *out)
{
    size_t count = 0;
    const uint32_t used = velo_nodes_used(region);
    for (velo_node_id index = velo_node_from(1); index.slot < used; index.slot++) {
        const struct velo_node *node = velo_node_at(region, index);
        if (VELO_READ(node->type) != VELO_REGULAR)
            continue;
        struct velo_hold hold;
        velo_begin(region, &hold);
        const int due = is_due(region, node, flags);
        velo_commit(region, &hold);
        if (due)
            out[count++] = (struct due){current_mtime(region, node), index, 0};
    }
    return count;
}

static void flush_files(struct velo_region *region, unsigned flags, const struct due *due,
                        size_t count, struct velo_flush_result *result)
{
    const unsigned file_flags = (flags & ~(unsigned)VELO_FLUSH_SYNC) | VELO_FLUSH_WAIT;
    for (size_t i = 0; i < count; i++) {
        const int rc = velo_writeback(region, due[i].node, file_flags);
        if (rc < 0) {
            result->failed++;
            if (result->first_error == 0)
                result->first_error = rc;
            if (rc == -ENOSPC || rc == -EROFS || rc == -EDQUOT)
                return; /* the next one will not fit either, and order matters */
        } else {
            result->files++;
            result->still_open += rc == 1;
            result->bytes += VELO_READ(velo_node_at(region, due[i].node)->size);
        }
    }
}

/* Under one hold: a rename that is written through in between would be set back. */
static int flush_directory_times(struct velo_region *region, velo_node_id index)
{
    char path[PATH_MAX];
    struct velo_node *node = velo_node_at(region, index);
    struct velo_hold hold;
    velo_begin(region, &hold);
    int rc = node->type == VELO_DIRECTORY ? velo_directory_path(region, index, path) : -ENOENT;
    if (rc >= 0) {
        const struct timespec times[2] = {{0, UTIME_OMIT}, velo_timespec(node->mtime_ns)};
        rc = velo_times_with_rights_locked(region, index, path, times);
    }
    if (rc == 0)
        velo_set32(region, &node->flags, node->flags & ~(uint32_t)VELO_NODE_TIMES);
    return velo_finish(region, &hold, rc);
}

static void flush_directories(struct velo_region *region, struct velo_flush_result *result)
{
    const uint32_t used = velo_nodes_used(region);
    for (velo_node_id index = velo_node_from(1); index.slot < used; index.slot++) {
        const struct velo_node *node = velo_node_at(region, index);
        if (VELO_READ(node->type) == VELO_DIRECTORY &&
            (VELO_READ(node->flags) & VELO_NODE_TIMES) != 0 &&
            !velo_is_watched(region, index) && /* it would be announced: the kernel's own will do */
            !velo_is_watched(region, VELO_READ_ID(node->parent)))
            result->directories += flush_directory_times(region, index) == 0;
    }
}

/* One call for everything that was renamed into place: a sync each would be a journal commit each. */
static int sync_roots(struct velo_region *region)
{
    int rc = 0;
    for (uint32_t i = 0; i < velo_roots_used(region); i++) {
        if (!velo_is_node(VELO_READ_ID(region->header->roots[i].node)))
            continue;
        const int fd = velo_os_open(region->header->roots[i].path, O_RDONLY | O_CLOEXEC, 0);
        if (fd < 0)
            continue;
        const int synced = (int)velo_sys1(SYS_syncfs, fd);
        velo_os_close(fd);
        if (synced != 0)
            rc = synced;
    }
    return rc;
}

static int flush_with_lock(struct velo_region *region, unsigned flags,
                           struct velo_flush_result *result)
{
    const size_t bytes = ((size_t)velo_nodes_used(region) + 1) * sizeof(struct due);
    struct due *due = velo_os_memory(bytes);
    if (due == NULL)
        return -ENOMEM;
    velo_tether_flush_begins(region);
    velo_temporaries_of_the_dead(region);
    velo_watchers_reap(region); /* what only the dead watched is flushed again like all else */
    const size_t count = collect_due(region, flags, due);
    sort_oldest_first(due, count);
    flush_files(region, flags, due, count, result);
    velo_os_unmap(due, bytes);
    if ((flags & VELO_FLUSH_PROGRAMS) == 0)
        flush_directories(region, result);
    if ((flags & VELO_FLUSH_SYNC) != 0) {
        const int rc = sync_roots(region);
        if (rc != 0 && result->first_error == 0)
            result->first_error = rc;
    }
    if (region->tethers != NULL)
        velo_tether(region, 0);
    return 0;
}

int velo_flush(struct velo_region *region, unsigned flags, uint32_t timeout_ms,
               struct velo_flush_result *result)
{
    memset(result, 0, sizeof *result);
    int rc = velo_flush_lock_take(region, timeout_ms);
    if (rc != 0)
        return rc == -EDEADLK ? -EAGAIN : rc;
    rc = flush_with_lock(region, flags, result);
    velo_flush_lock_leave(region);
    return rc;
}

int velo_flush_cold(struct velo_region *region)
{
    const uint32_t used = velo_nodes_used(region);
    int rc = 0;
    for (velo_node_id index = velo_node_from(1); index.slot < used && rc >= 0; index.slot++) {
        const struct velo_node *node = velo_node_at(region, index);
        if (VELO_READ(node->type) != VELO_REGULAR || VELO_READ(node->state) != VELO_COLD ||
            VELO_READ(node->links) == 0)
            continue;
        rc = velo_load(region, index);
        if (rc == 0)
            rc = velo_writeback(region, index, 0);
    }
    return rc < 0 ? rc : 0;
}

int velo_programs_pending(const struct velo_region *region)
{
    return VELO_READ(region->header->programs_pending) != 0;
}
