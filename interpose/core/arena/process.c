/* process.c - the table of attached processes, and names of programs with counts. */
#include "process.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "node.h"
#include "kernel/os.h"
#include "kernel/proc.h"
#include "kernel/text.h"
#include "trace.h"

#define PROBES_MAX 16

static int claim_slot(struct velo_process *slot, uint32_t pid)
{
    uint32_t seen = atomic_load_explicit(&slot->pid, memory_order_relaxed);
    if (seen == pid)
        return 1; /* ours from before exec, or of a dead namesake: ours now */
    if (seen != 0 && velo_sys2(SYS_kill, (long)seen, 0) != -ESRCH)
        return 0;
    return atomic_compare_exchange_strong(&slot->pid, &seen, pid);
}

struct velo_tally *velo_tally_of(struct velo_tally *table, const char *name)
{
    const size_t length = strlen(name) < 31 ? strlen(name) : 31;
    const uint32_t start = velo_hash(0, name, length);
    for (uint32_t i = 0; i < VELO_NAMES_MAX; i++) {
        struct velo_tally *slot = &table[(start + i) % VELO_NAMES_MAX];
        uint32_t state = atomic_load(&slot->claimed);
        if (state == 0 && atomic_compare_exchange_strong(&slot->claimed, &state, 1)) {
            memcpy(slot->name, name, length);
            slot->name[length] = 0;
            atomic_store(&slot->claimed, 2);
            return slot;
        }
        if (atomic_load(&slot->claimed) == 2 && memcmp(slot->name, name, length) == 0 &&
            slot->name[length] == 0)
            return slot;
    }
    return &table[start % VELO_NAMES_MAX]; /* the table is full: some name gets the count */
}

void velo_enlist_again(struct velo_region *region)
{
    struct velo_header *header = region->header;
    const uint32_t pid = (uint32_t)velo_sys0(SYS_getpid);
    for (uint32_t i = 0; i < PROBES_MAX; i++) {
        const uint32_t index = (pid + i * 37) % VELO_PROCESSES_MAX;
        if (claim_slot(&header->processes[index], pid)) {
            atomic_store(&header->processes[index].since_ns, velo_boottime_ns());
            atomic_store(&header->processes[index].parked, 0);
            region->process_index = index;
            break;
        }
    }
}

void velo_enlist(struct velo_region *region, const char *name)
{
    velo_enlist_again(region);
    atomic_fetch_add_explicit(&velo_tally_of(region->header->interposed, name)->count, 1,
                              memory_order_relaxed);
}

uint64_t velo_enlisted_since(const struct velo_region *region, uint32_t pid)
{
    for (uint32_t i = 0; i < PROBES_MAX; i++) {
        const struct velo_process *slot =
            &region->header->processes[(pid + i * 37) % VELO_PROCESSES_MAX];
        if (atomic_load_explicit(&slot->pid, memory_order_relaxed) == pid)
            return atomic_load(&slot->since_ns);
    }
    return 0;
}

/* ---- processes that wait for a file to leave memory ------------------------------------------ */

int velo_park(struct velo_region *region, velo_node_id node, int aside)
{
    const uint32_t pid = (uint32_t)velo_sys0(SYS_getpid);
    if (region->process_index == VELO_NO_PROCESS ||
        atomic_load(&region->header->processes[region->process_index].pid) != pid)
        velo_enlist_again(region); /* after a fork it has its parent's place */
    if (region->process_index == VELO_NO_PROCESS)
        return -EAGAIN;
    struct velo_process *slot = &region->header->processes[region->process_index];
    if (atomic_load(&slot->pid) != pid)
        return -EAGAIN;
    atomic_store(&slot->parked, node.slot | (aside ? VELO_ASIDE : 0));
    return 0;
}

velo_node_id velo_parked(const struct velo_region *region, uint32_t pid, int *aside)
{
    for (uint32_t i = 0; i < PROBES_MAX; i++) {
        const struct velo_process *slot =
            &region->header->processes[(pid + i * 37) % VELO_PROCESSES_MAX];
        if (atomic_load_explicit(&slot->pid, memory_order_relaxed) != pid)
            continue;
        const uint32_t parked = atomic_load(&slot->parked);
        *aside = (parked & VELO_ASIDE) != 0;
        return velo_node_from(parked & ~VELO_ASIDE);
    }
    return VELO_NO_NODE;
}

uint32_t velo_first_parked(const struct velo_region *region, velo_node_id node)
{
    uint32_t first = 0;
    for (uint32_t i = 0; i < VELO_PROCESSES_MAX; i++) {
        const struct velo_process *slot = &region->header->processes[i];
        if ((atomic_load_explicit(&slot->parked, memory_order_relaxed) & ~VELO_ASIDE) != node.slot)
            continue;
        const uint32_t pid = atomic_load(&slot->pid);
        if (pid != 0 && (first == 0 || pid < first) &&
            !velo_thread_dead(pid, atomic_load(&slot->since_ns)))
            first = pid;
    }
    return first;
}

int velo_somebody_is_aside(const struct velo_region *region, velo_node_id node)
{
    for (uint32_t i = 0; i < VELO_PROCESSES_MAX; i++) {
        const struct velo_process *slot = &region->header->processes[i];
        if (atomic_load(&slot->parked) == (node.slot | VELO_ASIDE) &&
            !velo_thread_dead(atomic_load(&slot->pid), atomic_load(&slot->since_ns)))
            return 1;
    }
    return 0;
}

void velo_enlist_raw(struct velo_region *region, const char *name)
{
    VELO_TRACE(region, SUD_BEGINS, velo_sys0(SYS_getpid), 0);
    atomic_fetch_add_explicit(&velo_tally_of(region->header->raw, name)->count, 1,
                              memory_order_relaxed);
}

/* ---- verdicts -------------------------------------------------------------------------------- */

static _Atomic uint64_t *profile_slot(struct velo_region *region, uint64_t key, uint32_t probe)
{
    return &region->header->profiles[((key >> 2) + probe) % VELO_PROFILES_MAX];
}

enum velo_profile velo_profile_find(struct velo_region *region, uint64_t key)
{
    for (uint32_t probe = 0; probe < PROBES_MAX; probe++) {
        const uint64_t seen =
            atomic_load_explicit(profile_slot(region, key, probe), memory_order_relaxed);
        if (seen != 0 && ((seen ^ key) & ~3ull) == 0)
            return (enum velo_profile)(seen & 3);
        if (seen == 0)
            break;
    }
    return VELO_PROFILE_NONE;
}

/* Two that find out the same may both keep it; when all its places are taken, the last one goes. */
void velo_profile_keep(struct velo_region *region, uint64_t key, enum velo_profile profile)
{
    const uint64_t value = (key & ~3ull) | (uint64_t)profile;
    _Atomic uint64_t *slot = NULL;
    for (uint32_t probe = 0; probe < PROBES_MAX; probe++) {
        uint64_t seen = 0;
        slot = profile_slot(region, key, probe);
        if (atomic_compare_exchange_strong(slot, &seen, value))
            return;
    }
    atomic_store(slot, value);
}

int velo_writer_alive(const struct velo_region *region, uint32_t writer)
{
    for (uint32_t i = 0; i < VELO_TEMPORARIES_MAX; i++) {
        const struct velo_temporary *slot =
            &region->header->temporary[(writer + i) % VELO_TEMPORARIES_MAX];
        if (atomic_load(&slot->thread) == writer)
            return !velo_thread_dead(writer, atomic_load(&slot->since_ns));
    }
    return 0;
}
