/* peers.c - processes that are not inside, and work for one that is: a compile server, a build daemon,
 * a terminal multiplexer, a starter of containers.
 *
 * They see the disk, like programs that cannot be entered (opaque.c), for as long as the connection
 * lives: until no process has its socket any more. They may go on a moment after it, or hand the work to
 * a process of their own. So the connection lingers, and processes that they started are watched in turn.
 * That also makes hundreds of short connections one: the tree is compared when the last has ended.
 *
 * In    a socket, before and after the kernel connected it
 * Out   a slot that lives as long as the socket does, in whatever process
 * Late is right: while a slot is taken every walk compares with the disk. So a look for its end now and
 * then is enough. */
#include "peers.h"

#include <errno.h>
#include <string.h>

#include "core/presence/open_files.h"
#include "core/arena/node.h"
#include "kernel/os.h"
#include "core/arena/process.h"
#include "core/disk/reconcile.h"
#include "kernel/sockets.h"
#include "core/upkeep/opaque_children.h"

#define PROBE_NS 20000000ull /* between two looks, by any process that walks */
#define LINGER_FIFO_NS 10000000000ull /* `echo words >fifo` is over before the work begins */
#define LINGER_NS 1000000000ull /* tmux starts a shell 30 ms after its client has gone */
#define ANCESTORS_MAX 64u
#define ENDPOINT_PROBES 8u

static uint32_t pid_of(uint64_t owner)
{
    return (uint32_t)owner;
}

/* ---- slots ----------------------------------------------------------------------------------- */

static void fill(struct velo_peer *slot, int fd)
{
    atomic_store(&slot->inode, 0);
    atomic_store(&slot->waiting, 0);
    atomic_store(&slot->peer, 0);
    atomic_store(&slot->ended_ns, 0);
    atomic_store(&slot->fd, (uint32_t)fd);
    atomic_store(&slot->since_ns, velo_boottime_ns());
    atomic_store(&slot->network, velo_network());
}

static uint64_t being_filled(uint64_t owner)
{
    return owner & ~(uint64_t)UINT32_MAX;
}

/* As in opaque.c, a process that is killed leaves too much behind, never too little.
 * It takes a free slot, or one whose connection has ended: then the processes that this peer left are
 * no more watched, but that happens only where connections are very many. */
static int claim(struct velo_header *header, uint64_t owner, int fd)
{
    for (uint32_t i = 0; i < 2 * VELO_PEERS_MAX; i++) {
        struct velo_peer *slot = &header->peers[i % VELO_PEERS_MAX];
        uint64_t seen = atomic_load(&slot->owner);
        const int is_free = seen == 0;
        if (!is_free && (i < VELO_PEERS_MAX || atomic_load(&slot->ended_ns) == 0))
            continue;
        if (pid_of(seen) == 0 && !is_free)
            continue;
        if (!atomic_compare_exchange_strong(&slot->owner, &seen, being_filled(owner)))
            continue;
        fill(slot, fd);
        velo_kill_point();
        if (is_free)
            atomic_fetch_add(&header->opaque_running, 1);
        velo_kill_point();
        atomic_store(&slot->owner, owner);
        uint32_t count = atomic_load(&header->peer_count);
        while (count <= i % VELO_PEERS_MAX &&
               !atomic_compare_exchange_weak(&header->peer_count, &count, i + 1)) {
        }
        return (int)(i % VELO_PEERS_MAX);
    }
    atomic_fetch_add(&header->opaque_running, 1); /* for good: no walk would notice its end */
    return -1;
}

static void leave(struct velo_header *header, struct velo_peer *slot, uint64_t owner)
{
    if (!atomic_compare_exchange_strong(&slot->owner, &owner, 0))
        return;
    velo_kill_point();
    atomic_fetch_sub(&header->opaque_running, 1);
}

int velo_peer_begin(struct velo_region *region, int fd, uint64_t inode)
{
    struct velo_header *header = region->header;
    struct velo_flush_result result;
    const uint64_t serial = atomic_fetch_add(&header->peer_serial, 1) + 1u;
    const uint64_t owner = serial << 32 | (uint32_t)velo_sys0(SYS_getpid);
    const int slot = claim(header, owner, fd); /* first: what is made from now on is on disk */
    if (slot >= 0)
        atomic_store(&header->peers[slot].inode, inode);
    velo_flush_cold(region);
    velo_flush(region, 0, VELO_FLUSH_LOCK_PATIENCE_MS, &result);
    return slot;
}

void velo_peer_known(struct velo_region *region, int slot, uint32_t peer, const char *name,
                     uint64_t waiting)
{
    struct velo_header *header = region->header;
    char comm[32] = "";
    if (peer != 0)
        velo_process_name(peer, comm);
    struct velo_tally *tally = velo_tally_of(header->opaque, comm[0] != 0 ? comm : name);
    atomic_fetch_add_explicit(&tally->count, 1, memory_order_relaxed);
    velo_escape(region, VELO_ESCAPE_PEER);
    if (slot < 0)
        return;
    struct velo_peer *is = &header->peers[slot];
    atomic_fetch_add_explicit(&tally->nanoseconds, velo_boottime_ns() - atomic_load(&is->since_ns),
                              memory_order_relaxed);
    atomic_store(&is->tally, (uint32_t)(tally - header->opaque));
    atomic_store(&is->waiting, waiting);
    atomic_store(&is->peer, peer);
}

void velo_peers_left(struct velo_region *region)
{
    struct velo_reconcile_result result;
    if (!velo_opaque_runs(region) && atomic_exchange(&region->header->peers_unseen, 0) != 0)
        velo_reconcile(region, NULL, NULL, &result);
}

void velo_peer_none(struct velo_region *region, int slot)
{
    if (slot < 0)
        return;
    struct velo_peer *is = &region->header->peers[slot];
    leave(region->header, is, atomic_load(&is->owner));
    velo_peers_left(region);
}

int velo_peer_has(const struct velo_region *region, uint64_t inode)
{
    const struct velo_header *header = region->header;
    if (!velo_opaque_runs(region))
        return 0;
    for (uint32_t i = 0; i < atomic_load(&header->peer_count) && i < VELO_PEERS_MAX; i++)
        if (atomic_load(&header->peers[i].inode) == inode &&
            pid_of(atomic_load(&header->peers[i].owner)) != 0)
            return 1;
    return 0;
}

/* ---- inside or outside ----------------------------------------------------------------------- */

int velo_peer_is_inside(struct velo_region *region, uint32_t pid)
{
    struct velo_thread thread;
    if (pid == (uint32_t)velo_sys0(SYS_getpid))
        return 1;
    const uint64_t since_ns = pid == 0 ? 0 : velo_enlisted_since(region, pid);
    if (since_ns != 0 &&
        (velo_thread_probe(pid, &thread) != 0 || thread.start_ns <= since_ns + VELO_NS_PER_TICK))
        return 1; /* or it was, and is dead: its children have the socket */
    return pid != 0 && velo_maps_arena(region, pid);
}

uint32_t velo_peer_owner(struct velo_region *region, uint64_t waiting)
{
    const struct velo_header *header = region->header;
    char text[40];
    for (uint32_t i = 0; i < atomic_load(&header->peer_count) && i < VELO_PEERS_MAX; i++)
        if (atomic_load(&header->peers[i].waiting) == waiting)
            return atomic_load(&header->peers[i].peer);
    velo_socket_text(waiting, text);
    return velo_open_by(region, text);
}

static _Atomic uint64_t *endpoint(struct velo_header *header, uint64_t key, uint32_t probe)
{
    return &header->endpoints[((key ^ key >> 20) + probe) % VELO_ENDPOINTS_MAX];
}

/* When all places of a key are taken the last one goes: a process that is asked there is then taken for
 * one outside. */
void velo_endpoint_note(struct velo_region *region, uint64_t key)
{
    _Atomic uint64_t *slot = NULL;
    for (uint32_t probe = 0; probe < ENDPOINT_PROBES; probe++) {
        uint64_t seen = 0;
        slot = endpoint(region->header, key, probe);
        if (atomic_compare_exchange_strong(slot, &seen, key) || seen == key)
            return;
    }
    atomic_store(slot, key);
}

int velo_endpoint_known(const struct velo_region *region, uint64_t key)
{
    for (uint32_t probe = 0; probe < ENDPOINT_PROBES; probe++)
        if (atomic_load_explicit(endpoint(region->header, key, probe), memory_order_relaxed) == key)
            return 1;
    return 0;
}

static _Atomic uint64_t *asker(struct velo_region *region, uint64_t key)
{
    return &region->header->askers[(key ^ key >> 20) % VELO_ASKERS_MAX];
}

void velo_asker_note(struct velo_region *region, uint64_t key)
{
    if (atomic_load_explicit(asker(region, key), memory_order_relaxed) != key)
        atomic_store(asker(region, key), key);
}

int velo_asker_known(struct velo_region *region, uint64_t key, int only_once)
{
    uint64_t seen = key;
    return only_once ? atomic_compare_exchange_strong(asker(region, key), &seen, 0)
                     : atomic_load(asker(region, key)) == key;
}

/* Processes that the peer starts meanwhile are not watched. */
void velo_peer_asks(struct velo_region *region, int fd, uint64_t inode, uint32_t peer,
                    const char *name)
{
    const int slot = velo_peer_begin(region, fd, inode);
    velo_peer_known(region, slot, peer, name, 0);
    if (slot >= 0)
        atomic_store(&region->header->peers[slot].peer, 0);
}

/* ---- FIFOs ----------------------------------------------------------------------------------- */

struct ends {
    struct velo_region *region;
    uint32_t self;
    int fd, kin;
};

/* The process, or one that started it, is known to see the disk already. */
static int is_opaque(const struct velo_header *header, uint32_t pid)
{
    struct velo_thread thread = {.parent = pid};
    for (uint32_t steps = 0; steps < ANCESTORS_MAX && thread.parent > 1; steps++) {
        for (uint32_t i = 0; i < VELO_OPAQUE_MAX; i++)
            if (atomic_load(&header->opaque_slots[i].pid) == thread.parent)
                return 1;
        if (velo_thread_probe(thread.parent, &thread) != 0)
            return 0;
    }
    return 0;
}

static int is_stranger(void *context, uint32_t pid, int fd)
{
    struct ends *ends = context;
    if (pid != ends->self && !velo_peer_is_inside(ends->region, pid) &&
        !is_opaque(ends->region->header, pid))
        return 1;
    ends->kin |= pid != ends->self || fd != ends->fd;
    return 0;
}

uint32_t velo_peer_at_fifo(struct velo_region *region, int fd, int *kin)
{
    char file[PATH_MAX];
    struct ends ends = {region, (uint32_t)velo_sys0(SYS_getpid), fd, 0};
    if (velo_open_files_name(fd, file) != 0)
        return 0;
    const uint32_t pid = velo_open_by_wanted(region, file, is_stranger, &ends);
    *kin = ends.kin;
    return pid;
}

void velo_fifos_heed(struct velo_region *region)
{
    atomic_store(&region->header->fifos, 1);
}

/* ---- its end --------------------------------------------------------------------------------- */

static int lives(const struct velo_peer *slot, uint64_t owner)
{
    const uint64_t inode = atomic_load(&slot->inode);
    const uint32_t pid = pid_of(owner);
    if (inode == 0) /* it is just being made */
        return !velo_thread_dead(pid, atomic_load(&slot->since_ns));
    if ((inode & VELO_PEER_FIFO) != 0)
        return velo_has_fifo(pid, (int)atomic_load(&slot->fd), inode & ~VELO_PEER_FIFO);
    return velo_has_socket(pid, (int)atomic_load(&slot->fd), inode) ||
           velo_network() != atomic_load(&slot->network) || /* we cannot know */
           velo_socket_exists(inode);
}

/* The tree is compared once, by the process that sees the last one end: until then the walks compare. */
static void end(struct velo_region *region, struct velo_peer *slot, uint64_t owner)
{
    struct velo_header *header = region->header;
    struct velo_tally *tally = &header->opaque[atomic_load(&slot->tally) % VELO_NAMES_MAX];
    const uint64_t before = velo_boottime_ns();
    struct velo_reconcile_result result;
    if (atomic_load(&slot->peer) != 0)
        velo_descendants_enter(region, atomic_load(&slot->peer), atomic_load(&slot->since_ns),
                               atomic_load(&slot->tally));
    if (atomic_load(&header->opaque_running) == 1)
        velo_reconcile(region, NULL, NULL, &result);
    else
        atomic_store(&header->peers_unseen, 1);
    atomic_fetch_add_explicit(&tally->nanoseconds, velo_boottime_ns() - before,
                              memory_order_relaxed);
    leave(header, slot, owner);
    velo_peers_left(region);
}

static uint64_t linger_of(const struct velo_peer *slot)
{
    return (atomic_load(&slot->inode) & VELO_PEER_FIFO) != 0 ? LINGER_FIFO_NS : LINGER_NS;
}

static void probe_peer(struct velo_region *region, struct velo_peer *slot, uint64_t now_ns)
{
    const uint64_t owner = atomic_load(&slot->owner);
    if (pid_of(owner) == 0) /* free, or being filled */
        return;
    const uint64_t ended_ns = atomic_load(&slot->ended_ns);
    if (ended_ns == 0 && !lives(slot, owner))
        atomic_store(&slot->ended_ns, now_ns);
    else if (ended_ns != 0 && now_ns - ended_ns > linger_of(slot))
        end(region, slot, owner);
}

void velo_peers_poll(struct velo_region *region)
{
    struct velo_header *header = region->header;
    const uint32_t count = atomic_load_explicit(&header->peer_count, memory_order_relaxed);
    if (count == 0)
        return;
    const uint64_t now_ns = velo_boottime_ns();
    uint64_t due_ns = atomic_load(&header->peers_probe_ns);
    if (now_ns < due_ns ||
        !atomic_compare_exchange_strong(&header->peers_probe_ns, &due_ns, now_ns + PROBE_NS))
        return;
    for (uint32_t i = 0; i < count && i < VELO_PEERS_MAX; i++)
        probe_peer(region, &header->peers[i], now_ns);
}
