/* relocate.c - this process writes a file that cannot stay in memory: there is no room, or it is
 * renamed out of the hosted directories. Its descriptors are led to the file on disk
 * (core/disk/relocate.c), at the same offset, and the write goes on there.
 *
 * Only when no other process could notice: none shares the descriptor, there is no mapping, and this is not
 * the parent of a vfork child. Other threads wait with what they write meanwhile (gate.c). Other processes
 * that write the same file step aside when they find no room either (aside.c): all but the first, which
 * leads the file there. A build needs this once, if ever, so it may look through all of /proc. */
#include <linux/kcmp.h>
#include <sys/mman.h>
#include <time.h>

#include "kernel/os.h"
#include "preload/path/claim.h"
#include "census.h"
#include "credit.h"
#include "gate.h"
#include "descriptors.h"
#include "preload/base/raw.h"
#include "relocate.h"

#define ATTEMPTS_MAX 200
#define ATTEMPTS_SOON 5
#define PAUSE_NS 10000000l
#define ATTEMPTS_HASTY 4 /* once all were in vain: a process that has one file has others, too */
#define HASTY_NS 10000000000ll
#define GLANCES 50 /* of a shard: microseconds, but it may have to wait for a core */
#define GLANCE_NS 1000000l

static int64_t monotonic_ns(void)
{
    return velo_clock_ns(CLOCK_MONOTONIC_COARSE);
}

/* Ours are noted. Another process that has the file ends the search, unless we wait for it to step aside. */
static int see(void *context, uint32_t other, int fd, const char *rest)
{
    struct velo_descriptors *s = context;
    int aside = 0;
    (void)rest;
    if (other == 0)
        return !velo_descriptors_note(s, fd);
    if (!velo_is_node(s->parked) || s->met == VELO_DESCRIPTORS_MAX)
        return 1;
    if (velo_same_node(velo_parked(velo_here(), other, &aside), s->parked) && aside)
        return 0;
    s->others[s->met].pid = other;
    s->others[s->met++].fd = fd;
    return 0;
}

/* ---- other processes that have it ------------------------------------------------------------ */

/* This process says that it waits, so that others that come to the same point count with it. */
static void park(struct velo_region *region, velo_node_id node, struct velo_descriptors *s)
{
    if (!velo_is_node(s->parked) && velo_has_one_thread() && velo_park(region, node, 0) == 0)
        s->parked = node;
}

/* Also true when the kernel does not tell. */
static bool shares_description(const struct velo_descriptors *s)
{
    const long self = velo_sys0(SYS_getpid);
    for (unsigned i = 0; i < s->met; i++)
        for (unsigned j = 0; j < s->count; j++) {
            const long order =
                velo_sys5(SYS_kcmp, self, s->others[i].pid, KCMP_FILE, s->ours[j], s->others[i].fd);
            if (order <= 0)
                return true;
        }
    return false;
}

/* Other processes have the file: each that waits, but for the first, steps aside. */
static void make_way(struct velo_region *region, velo_node_id node, struct velo_descriptors *s)
{
    const uint32_t first = velo_first_parked(region, node);
    if (first != 0 && first != (uint32_t)velo_sys0(SYS_getpid) && s->count > 0 && s->paths == 0 &&
        !shares_description(s) && !velo_descriptors_aside(region, node, s, 0))
        s->parked = VELO_NO_NODE; /* it begins anew */
}

static bool is_in_memory(struct velo_region *region, velo_node_id node)
{
    struct velo_snapshot snapshot;
    return velo_snapshot_take(region, node, &snapshot) == 0 && snapshot.state == VELO_BACKED;
}

/* 0: the first one has led the file to the disk. */
static int come_back(struct velo_region *region, velo_node_id node, struct velo_descriptors *s)
{
    velo_step_back(region, node, &s->aside);
    velo_park(region, node, 0);
    return is_in_memory(region, node) ? -EBUSY : 0;
}

static int wait_aside(struct velo_region *region, velo_node_id node, struct velo_descriptors *s)
{
    const uint32_t first = velo_first_parked(region, node);
    if (is_in_memory(region, node) && first != (uint32_t)velo_sys0(SYS_getpid))
        return -EBUSY;
    return come_back(region, node, s);
}

/* s->file is the file in memory. 0, -EBUSY while another process has it, which may be a shard that is just
 * looking. */
static int relocate_once(struct velo_region *region, velo_node_id node, struct velo_descriptors *s)
{
    s->count = s->paths = s->met = 0;
    if (velo_descriptors_is_mapped(s))
        return -ENOSPC;
    if (velo_open_files(region, s->file, see, s) != 0) {
        park(region, node, s);
        return -EBUSY;
    }
    if (s->met == 0)
        return velo_descriptors_relocate(region, node, s);
    make_way(region, node, s);
    return -EBUSY;
}

static int relocate(struct velo_region *region, velo_node_id node, struct velo_descriptors *s,
                    int attempts)
{
    int rc = -EBUSY;
    for (int attempt = 0; attempt < attempts && rc == -EBUSY; attempt++) {
        if (attempt > 0)
            velo_os_pause(attempt < GLANCES ? GLANCE_NS : PAUSE_NS);
        rc = s->aside.count > 0 ? wait_aside(region, node, s) : relocate_once(region, node, s);
        if (rc == -EBUSY && velo_is_node(s->parked))
            velo_park(region, node, s->aside.count > 0);
    }
    if (s->aside.count > 0)
        rc = come_back(region, node, s);
    if (velo_is_node(s->parked))
        velo_park(region, VELO_NO_NODE, 0);
    s->parked = VELO_NO_NODE;
    return rc;
}

/* ---- many files at once ---------------------------------------------------------------------- */

#define MANY                                                                                       \
    8u /* credits: to look through /proc once costs no more for all their files than for one */
#define CENSUS_EVERY_NS 50000000
#define THREADS_FILES 32u /* another thread might duplicate one after it was looked for */

static bool has_many(void)
{
    const int top = atomic_load_explicit(&velo_write_credits_top, memory_order_relaxed);
    unsigned count = 0;
    for (int fd = 0; fd < top && count < MANY; fd++)
        count += velo_write_credit(fd) != 0;
    return count == MANY;
}

static _Atomic int64_t hasty_until_ns; /* to wait for others was in vain a moment ago */

static bool is_hasty(void)
{
    return monotonic_ns() < atomic_load(&hasty_until_ns);
}

/* Other processes have the file: this one does not look again for a while. */
static void leave_had(struct velo_region *region, const struct velo_had *had, unsigned count)
{
    for (unsigned i = 0; i < count && is_hasty(); i++)
        if (had[i].fd >= 0 && velo_write_credit(had[i].fd) != 0) {
            velo_set_stuck(velo_node_of_fd(region, had[i].fd));
            return;
        }
}

/* had[0..count) are all that is known of one file. */
static bool relocate_had(struct velo_region *region, struct velo_descriptors *s,
                         const struct velo_had *had, unsigned count)
{
    bool writes = false;
    s->count = s->paths = 0;
    for (unsigned i = 0; i < count; i++) {
        if (had[i].fd < 0 || !velo_descriptors_note(s, had[i].fd)) {
            leave_had(region, had, count);
            return false;
        }
        writes = writes || velo_write_credit(had[i].fd) != 0;
    }
    const velo_node_id node =
        writes && s->count > 0 ? velo_node_of_fd(region, s->ours[0]) : VELO_NO_NODE;
    return velo_is_node(node) && velo_descriptors_relocate(region, node, s) == 0;
}

/* s->file is one of those that this process writes, as /proc spells it. */
static bool find_any(struct velo_region *region, struct velo_descriptors *s)
{
    const int top = atomic_load_explicit(&velo_write_credits_top, memory_order_relaxed);
    for (int fd = 0; fd < top; fd++)
        if (velo_write_credit(fd) != 0 && velo_is_node(velo_node_of_fd(region, fd)) &&
            velo_open_files_name(fd, s->file) == 0)
            return true;
    return false;
}

/* There is no room for what this process is writing to one of many files: the others would be the next, and each
 * cost a look through all of /proc. Those that cannot go are left as they are. */
static void relocate_many(struct velo_region *region, struct velo_descriptors *s)
{
    static _Atomic int64_t next_ns; /* what could go has just gone */
    const bool alone = velo_has_one_thread();
    if (monotonic_ns() < atomic_load(&next_ns))
        return;
    struct velo_census *census = find_any(region, s) ? velo_census_take(region, s->file) : NULL;
    unsigned relocated = 0;
    if (census == NULL)
        return;
    for (unsigned from = 0, to; from < census->count; from = to) {
        for (to = from; to < census->count && census->had[to].backing == census->had[from].backing;)
            to++;
        relocated += relocate_had(region, s, census->had + from, to - from);
        if (!alone && relocated == THREADS_FILES)
            break;
    }
    velo_census_free(census);
    memset(s->file, 0, sizeof s->file);
    atomic_store(&next_ns, monotonic_ns() + CENSUS_EVERY_NS);
}

/* ---- for the wrappers ------------------------------------------------------------------------ */

/* NULL when the parent of a vfork child would notice. */
static struct velo_descriptors *scratch_new(void)
{
    if (velo_here() == NULL || velo_vfork_child)
        return NULL;
    return velo_os_memory(sizeof(struct velo_descriptors));
}

static void scratch_free(struct velo_descriptors *s)
{
    velo_os_unmap(s, sizeof *s);
}

static int relocate_descriptor(struct velo_region *region, int fd, velo_node_id node,
                               struct velo_descriptors *s, int attempts)
{
    if (!is_in_memory(region, node))
        return 0; /* another thread was here before us */
    return velo_open_files_name(fd, s->file) == 0 ? relocate(region, node, s, attempts) : -ENOENT;
}

static int relocate_within(int fd, velo_node_id node, int attempts, bool others)
{
    uint64_t signals;
    struct velo_descriptors *s = scratch_new();
    if (s == NULL)
        return -ENOSPC;
    const bool held = velo_gate_close(&signals);
    if (held && others)
        relocate_many(velo_here(), s);
    const int rc = held ? relocate_descriptor(velo_here(), fd, node, s, attempts) : -EBUSY;
    velo_gate_open(held, &signals);
    scratch_free(s);
    return rc == 0 ? 0 : -ENOSPC;
}

int velo_relocate_descriptor(int fd, velo_node_id node)
{
    const bool hasty = is_hasty() && velo_first_parked(velo_here(), node) == 0;
    const int rc = relocate_within(fd, node, hasty ? ATTEMPTS_HASTY : ATTEMPTS_MAX, has_many());
    if (rc != 0 && !hasty)
        atomic_store(&hasty_until_ns, monotonic_ns() + HASTY_NS);
    return rc;
}

int velo_relocate_soon(int fd, velo_node_id node)
{
    return relocate_within(fd, node, ATTEMPTS_SOON, false);
}

void velo_relocate_many(void)
{
    uint64_t signals;
    struct velo_descriptors *s = has_many() ? scratch_new() : NULL;
    if (s == NULL)
        return;
    const bool held = velo_gate_close(&signals);
    if (held)
        relocate_many(velo_here(), s);
    velo_gate_open(held, &signals);
    scratch_free(s);
}

static int relocate_node(struct velo_region *region, velo_node_id node, struct velo_descriptors *s,
                         bool waits)
{
    struct velo_snapshot snapshot;
    if (velo_snapshot_take(region, node, &snapshot) != 0 || snapshot.state != VELO_BACKED)
        return -EXDEV;
    velo_backing_path(region, snapshot.backing, s->file);
    return relocate(region, node, s, waits ? ATTEMPTS_MAX : GLANCES);
}

int velo_relocate_place(const struct velo_place *place, bool waits)
{
    struct velo_region *region = velo_here();
    if (place->at.kind != VELO_HOSTED || !velo_is_node(place->at.node))
        return -EXDEV;
    struct velo_descriptors *s = scratch_new();
    uint64_t signals;
    if (s == NULL)
        return -EXDEV;
    const bool held = velo_gate_close(&signals);
    int rc = -EXDEV;
    if (held && place->at.type == VELO_REGULAR) {
        rc = relocate_node(region, place->at.node, s, waits);
    } else if (held && place->at.type == VELO_DIRECTORY) {
        velo_node_id node = VELO_NO_NODE;
        do /* all or nothing: -EXDEV when there was none */
            node = velo_next_left(region, place->at.node, node);
        while (velo_is_node(node) && (rc = relocate_node(region, node, s, waits)) == 0);
    }
    velo_gate_open(held, &signals);
    scratch_free(s);
    return rc;
}

/* ---- before we leave ------------------------------------------------------------------------- */

/* One open descriptor is enough: all that lead to the same file go with it. A file that other processes share
 * stays in memory, and a shard puts it. */
void velo_relocate_all(struct velo_region *region)
{
    for (int fd = 0; fd < (int)VELO_WRITE_CREDITS_MAX; fd++) {
        const velo_node_id node =
            velo_write_credit(fd) == 0 ? VELO_NO_NODE : velo_node_of_fd(region, fd);
        const struct velo_place place = {
            .at = {.kind = VELO_HOSTED, .type = VELO_REGULAR, .node = node}};
        if (velo_is_node(node))
            velo_relocate_place(&place, false);
    }
}
