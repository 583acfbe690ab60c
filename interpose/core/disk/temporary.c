/* temporary.c - temporary files of writebacks.  See temporary.h.
 *
 * A writer that is killed leaves `.velo-put.<thread><node>` beside the file.  It is noted in the
 * header before it exists, so the next flush removes it without looking anywhere else; reconcile,
 * which reads every directory, removes what an arena that is gone left (a power failure). */
#include "temporary.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "disk_names.h"
#include "rights.h"
#include "kernel/dents.h"
#include "kernel/os.h"
#include "kernel/text.h"
#include "core/tree/tree.h"

static const char prefix[] = VELO_TEMPORARY_PREFIX;

static void name_of(uint32_t thread, velo_node_id node, char out[64])
{
    size_t length = sizeof prefix - 1;
    memcpy(out, prefix, length);
    const uint64_t id = (uint64_t)thread << 32 | node.slot;
    for (int shift = 60; shift >= 0; shift -= 4)
        out[length++] = "0123456789abcdef"[id >> shift & 15];
    out[length] = 0;
}

void velo_temporary_name(velo_node_id node, char out[64])
{
    name_of((uint32_t)velo_sys0(SYS_gettid), node, out);
}

int velo_is_temporary(const char *name)
{
    return strncmp(name, prefix, sizeof prefix - 1) == 0;
}

static struct velo_temporary *claim(struct velo_region *region, uint32_t self)
{
    for (uint32_t i = 0; i < VELO_TEMPORARIES_MAX; i++) {
        struct velo_temporary *slot = &region->header->temporary[(self + i) % VELO_TEMPORARIES_MAX];
        uint32_t seen = 0;
        if (atomic_compare_exchange_strong(&slot->thread, &seen, self))
            return slot;
    }
    return NULL;
}

struct velo_temporary *velo_temporary_begin(struct velo_region *region, velo_node_id node,
                                            velo_node_id directory)
{
    const uint32_t self = (uint32_t)velo_sys0(SYS_gettid);
    struct velo_temporary *slot = claim(region, self);
    if (slot == NULL) {
        velo_temporaries_of_the_dead(region);
        slot = claim(region, self);
    }
    if (slot != NULL) {
        atomic_store(&slot->since_ns, velo_boottime_ns());
        atomic_store(&slot->node, node);
        atomic_store(&slot->parent, directory);
    }
    return slot;
}

void velo_temporary_end(struct velo_temporary *temporary)
{
    atomic_store(&temporary->thread, 0);
}

int velo_temporary_remove(struct velo_region *region, velo_node_id directory, int dirfd,
                          const char *name)
{
    struct stat stat;
    const int fd = velo_probe_with_rights(region, directory, dirfd, name);
    if (fd < 0)
        return fd;
    int rc = velo_os_fstat(fd, &stat);
    velo_os_close(fd);
    if (rc == 0)
        rc = velo_unlink_with_rights(region, directory, dirfd, name);
    if (rc != 0 || stat.st_nlink < 2)
        return rc;
    struct velo_hold hold;
    velo_begin(region, &hold);
    velo_copy_lost_locked(region, directory, stat.st_ino);
    velo_commit(region, &hold);
    return 0;
}

static int remove_noted(struct velo_region *region, const struct velo_temporary *slot,
                        uint32_t thread)
{
    char name[64];
    const velo_node_id directory = atomic_load(&slot->parent);
    const int dirfd = velo_open_directory(region, directory);
    if (dirfd < 0)
        return dirfd;
    name_of(thread, atomic_load(&slot->node), name);
    const int rc = velo_temporary_remove(region, directory, dirfd, name);
    velo_os_close(dirfd);
    return rc;
}

void velo_temporaries_of_the_dead(struct velo_region *region)
{
    for (uint32_t i = 0; i < VELO_TEMPORARIES_MAX; i++) {
        struct velo_temporary *slot = &region->header->temporary[i];
        uint32_t thread = atomic_load(&slot->thread);
        if (thread == 0 || !velo_thread_dead(thread, atomic_load(&slot->since_ns)))
            continue;
        const int rc = remove_noted(region, slot, thread);
        if (rc != -EACCES && rc != -EPERM) /* else a process with more rights will */
            atomic_compare_exchange_strong(&slot->thread, &thread, 0);
    }
}

/* The thread in a temporary's name, 0 when it is no name of ours. */
static uint32_t thread_in(const char *name)
{
    uint64_t thread;
    return velo_read_hex(name + sizeof prefix - 1, 8, &thread) ? (uint32_t)thread : 0;
}

/* CLOCK_BOOTTIME when something with this change time was made; 1 for before the boot. */
static uint64_t boottime_of(const struct timespec *ctime)
{
    struct timespec now;
    velo_sys2(SYS_clock_gettime, CLOCK_REALTIME, velo_word(&now));
    const int64_t age = velo_ns(&now) - velo_ns(ctime), up = (int64_t)velo_boottime_ns();
    return age < up ? (uint64_t)(up - (age > 0 ? age : 0)) : 1;
}

void velo_temporary_found(struct velo_region *region, velo_node_id directory, int dirfd,
                          const char *name)
{
    struct stat stat;
    const uint32_t thread = thread_in(name);
    if (thread != 0 && velo_os_lstatat(dirfd, name, &stat) == 0 && S_ISREG(stat.st_mode) &&
        velo_thread_dead(thread, boottime_of(&stat.st_ctim)))
        velo_temporary_remove(region, directory, dirfd, name);
}

void velo_temporaries_of_directory(struct velo_region *region, velo_node_id directory)
{
    _Alignas(8) char dents[2048];
    const int dirfd = velo_read_directory(velo_open_directory(region, directory));
    if (dirfd < 0)
        return;
    struct velo_dents all = {.fd = dirfd, .buffer = dents, .size = sizeof dents};
    for (const struct velo_dent *dent; (dent = velo_dents_next(&all)) != NULL;)
        if (velo_is_temporary(dent->name))
            velo_temporary_remove(region, directory, dirfd, dent->name);
    velo_os_close(dirfd);
}
