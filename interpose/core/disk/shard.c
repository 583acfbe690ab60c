/* shard.c - what a shard does to the files of its slice: scan, refresh attributes, store, evict, sweep. */
#include "core/tree/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "copy.h"
#include "missing.h"
#include "core/presence/open_files.h"
#include "kernel/lease.h"
#include "rights.h"
#include "kernel/dents.h"
#include "kernel/os.h"
#include "kernel/text.h"
#include "core/tree/stamps.h"
#include "core/disk/xattr.h"

static void copy_info(const struct velo_region *region, velo_node_id index,
                      struct velo_node_info *out)
{
    const struct velo_node *node = velo_node_at(region, index);
    *out = (struct velo_node_info){
        .node = index,
        .generation = node->generation,
        .home = node->home,
        .state = node->state,
        .links = node->links,
        .dirty_disk = node->links > 0 && !velo_on_disk(region, node),
        .dirty_store = node->links > 0 && node->stored != node->version,
        .mode = node->mode,
        .version = node->version,
        .charged_bytes = node->charged,
        .size_bytes = node->size,
        .mtime_ns = node->mtime_ns,
        .access_tick = atomic_load_explicit(&node->access_tick, memory_order_relaxed),
        .has_digest = node->stored != 0,
    };
    memcpy(out->digest, node->digest, sizeof out->digest);
}

int velo_node_info(struct velo_region *region, velo_node_id index, struct velo_node_info *out)
{
    struct velo_hold hold;
    velo_begin(region, &hold);
    const int known = velo_node_at(region, index)->type == VELO_REGULAR;
    if (known)
        copy_info(region, index, out);
    velo_commit(region, &hold);
    return known ? 0 : -ENOENT;
}

uint32_t velo_scan(struct velo_region *region, uint32_t home, uint32_t *cursor,
                   struct velo_node_info *out, uint32_t capacity)
{
    uint32_t count = 0;
    velo_node_id index = velo_node_from(*cursor == 0 ? 1 : *cursor);
    const uint32_t used = velo_nodes_used(region);
    for (; index.slot < used && count < capacity; index.slot++) {
        const struct velo_node *node = velo_node_at(region, index);
        if (VELO_READ(node->type) != VELO_REGULAR ||
            (home != UINT32_MAX && VELO_READ(node->home) != home))
            continue;
        if (velo_node_info(region, index, &out[count]) == 0)
            count++;
    }
    *cursor = index.slot < used ? index.slot : 0;
    return count;
}

/* ---- settle ---------------------------------------------------------------------------------- */

struct seen { /* of a BACKED file, before looking at its tmpfs file */
    uint32_t generation, links;
    uint64_t version, backing, refreshed, charged;
};

static int see(struct velo_region *region, velo_node_id index, struct seen *out)
{
    struct velo_hold hold;
    velo_begin(region, &hold);
    const struct velo_node *node = velo_node_at(region, index);
    const int backed = node->type == VELO_REGULAR && node->state == VELO_BACKED;
    *out = (struct seen){node->generation, node->links,     node->version,
                         node->backing,    node->refreshed, node->charged};
    velo_commit(region, &hold);
    return backed ? 0 : -ENOENT;
}

static int same_as_recorded(const struct velo_node *node, const struct seen *seen)
{
    return node->type == VELO_REGULAR && node->state == VELO_BACKED &&
           node->generation == seen->generation && node->backing == seen->backing;
}

/* Unlinked, and no process has it open: the memory comes back. */
static int free_unlinked(struct velo_region *region, velo_node_id index, const struct seen *seen,
                         const char *path)
{
    struct velo_hold hold;
    velo_begin(region, &hold);
    const struct velo_node *node = velo_node_at(region, index);
    const int rc = same_as_recorded(node, seen) && node->links == 0 ? 0 : -EAGAIN;
    if (rc == 0)
        velo_node_free_locked(region, index);
    velo_finish(region, &hold, rc);
    if (rc == 0)
        velo_os_unlink(path);
    return rc == 0;
}

/* No lease tells whether a descriptor by O_PATH is still open. /proc does, and is slow: the search may take a
 * tenth of the shard's time. Until the next search such a file stays. */
static int known_by_path(const struct velo_region *region, velo_node_id index, int fd)
{
    static _Atomic int64_t next_ns;
    if ((VELO_READ(velo_node_at(region, index)->flags) & VELO_NODE_HAS_OPATH_FD) == 0)
        return 0;
    const int64_t before = velo_clock_ns(CLOCK_MONOTONIC);
    if (before < atomic_load(&next_ns))
        return 1;
    const int known = velo_somebody_has(region, fd);
    const int64_t after = velo_clock_ns(CLOCK_MONOTONIC);
    atomic_store(&next_ns, after + 10 * (after - before));
    return known;
}

static void take_refreshed_locked(struct velo_region *region, velo_node_id index,
                                  const struct stat *stat)
{
    struct velo_node *node = velo_node_at(region, index);
    const int64_t changed = velo_ctime_of(node, velo_ns(&stat->st_ctim));
    velo_take_stat_locked(region, index, stat);
    velo_set_time(region, &node->ctime_ns, changed);
    velo_set64(region, &node->refreshed, node->version);
}

/* Looks under the lock: there no process has rights lent to itself, which would show in the mode. */
static void record(struct velo_region *region, velo_node_id index, const struct seen *seen, int fd,
                   int quiet)
{
    struct velo_hold hold;
    struct stat stat;
    velo_begin(region, &hold);
    const struct velo_node *node = velo_node_at(region, index);
    if (same_as_recorded(node, seen) && velo_os_fstat(fd, &stat) == 0) {
        const uint64_t held = (uint64_t)stat.st_blocks * 512;
        if (quiet && node->version == seen->version)
            take_refreshed_locked(region, index, &stat);
        /* A writer's charge may be ahead of its bytes; it never falls while it writes. */
        if (quiet || held > node->charged)
            velo_charge_set_locked(region, index, held);
    }
    velo_commit(region, &hold);
}

int velo_refresh_attributes(struct velo_region *region, velo_node_id index)
{
    struct seen seen;
    char path[320];
    if (see(region, index, &seen) != 0)
        return 0;
    if (seen.links > 0 && seen.refreshed == seen.version)
        return 0;
    if (velo_has_program_lease(region, index))
        return 0;
    velo_backing_path(region, seen.backing, path);
    const int fd = velo_open_file_with_rights(region, index, VELO_ID_ARENA, path, O_NONBLOCK);
    if (fd < 0)
        return seen.links == 0 && fd == -ENOENT && free_unlinked(region, index, &seen, path);
    int freed = 0;
    if (seen.links == 0 && velo_nobody_else_has(fd) && !known_by_path(region, index, fd)) {
        freed = free_unlinked(region, index, &seen, path);
    } else {
        record(region, index, &seen, fd, velo_nobody_writes(fd));
    }
    velo_os_close(fd);
    return freed;
}

/* ---- store and evict ------------------------------------------------------------------------- */

int velo_stored(struct velo_region *region, const struct velo_node_info *seen,
                const uint8_t digest[32])
{
    struct velo_hold hold;
    velo_begin(region, &hold);
    struct velo_node *node = velo_node_at(region, seen->node);
    int rc = -ESTALE;
    if (node->type == VELO_REGULAR && node->generation == seen->generation &&
        node->version == seen->version) {
        uint64_t words[4];
        memcpy(words, digest, sizeof words);
        for (size_t i = 0; i < 4; i++)
            velo_set64(region, (uint64_t *)(void *)(node->digest + 8 * i), words[i]);
        velo_set64(region, &node->stored, seen->version);
        rc = 0;
    }
    return velo_finish(region, &hold, rc);
}

static int evict_locked(struct velo_region *region, velo_node_id index, const struct seen *seen,
                        int fd, const struct stat *stat)
{
    struct velo_node *node = velo_node_at(region, index);
    if (!same_as_recorded(node, seen) || node->version != seen->version || node->links == 0)
        return -EBUSY;
    const int on_disk = velo_on_disk(region, node);
    if (!on_disk && (node->stored != node->version || (node->flags & VELO_NODE_HAS_OPATH_FD) != 0 ||
                     velo_has_xattrs(fd)))
        return -EBUSY; /* from the store it would come back as another tmpfs file */
    const int cut = velo_is_cut_locked(node, stat); /* from outside: the disk has it whole */
    if (cut && !on_disk)
        return -EBUSY;
    if (!cut)
        take_refreshed_locked(region, index, stat);
    velo_charge_set_locked(region, index, 0);
    if ((node->flags & VELO_NODE_HAS_OPATH_FD) == 0)
        velo_identity_clear_locked(region, index, VELO_ID_ARENA);
    velo_state_set_locked(region, index, on_disk ? VELO_DISK : VELO_COLD);
    velo_set64(region, &node->backing, 0);
    if (on_disk) /* the copy's ctime is of its making: until it is another one, ours is the truth */
        velo_set_time(region, &node->copied_ns,
                      velo_name_at(region, node->first_name)->disk_ctime_ns);
    return 0;
}

int velo_evict(struct velo_region *region, velo_node_id index)
{
    struct seen seen;
    struct stat stat;
    char path[320];
    if (see(region, index, &seen) != 0)
        return -ENOENT;
    if (velo_has_program_lease(region, index) || velo_keeps_lock(region, index))
        return -EBUSY;
    velo_backing_path(region, seen.backing, path);
    const int fd = velo_open_file_with_rights(region, index, VELO_ID_ARENA, path, O_NONBLOCK);
    if (fd < 0)
        return fd;
    /* A process that opens the file meanwhile waits for the lease, and then looks at the state (file.c). */
    struct velo_hold hold;
    velo_begin(region, &hold);
    int rc = -EBUSY;
    if (velo_lease_take(fd, F_WRLCK)) {
        rc = velo_os_fstat(fd, &stat);
        if (rc == 0)
            rc = evict_locked(region, index, &seen, fd, &stat);
        velo_lease_leave(fd);
    }
    velo_finish(region, &hold, rc);
    if (rc == 0) {
        velo_os_unlink(path);
        atomic_fetch_add_explicit(&region->header->evictions, 1, memory_order_relaxed);
    }
    velo_os_close(fd);
    return rc;
}

/* ---- orphans --------------------------------------------------------------------------------- */

static int is_unowned(struct velo_region *region, int dirfd, const char *name)
{
    uint64_t backing;
    struct stat stat;
    if (!velo_read_hex(name, 16, &backing) || name[16] != 0 ||
        velo_os_lstatat(dirfd, name, &stat) != 0)
        return 0;
    if (!velo_thread_dead((uint32_t)(backing >> 40), 0))
        return 0; /* its creator may be about to publish it */
    const velo_node_id node = velo_node_of(region, &stat);
    return !velo_is_node(node) || VELO_READ(velo_node_at(region, node)->backing) != backing;
}

int velo_sweep(struct velo_region *region)
{
    char path[sizeof region->directory + 8];
    _Alignas(8) char dents[8192];
    strcpy(stpcpy(path, region->directory), "/i");
    const int dirfd = velo_os_open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (dirfd < 0)
        return dirfd;
    int removed = 0;
    struct velo_dents all = {.fd = dirfd, .buffer = dents, .size = sizeof dents};
    for (const struct velo_dent *dent; (dent = velo_dents_next(&all)) != NULL;)
        removed += dent->name[0] != '.' && is_unowned(region, dirfd, dent->name) &&
                   velo_os_unlinkat(dirfd, dent->name, 0) == 0;
    velo_os_close(dirfd);
    return removed;
}
