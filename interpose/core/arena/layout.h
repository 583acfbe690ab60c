/* layout.h - every byte that processes share, and what must always be true of it.
 *
 * The meta file is one mapping: header, process table, hash tables, then three pools of fixed
 * slots (nodes, names, chunks). References are slot numbers, a type for each kind of slot (ids.h),
 * offsets from the pool's start, never pointers; slot 0 of each pool means "none". Slots are
 * type-stable: a freed node is only ever reused as a node, so a reader without a lock may read
 * rubbish but never another type's bytes.
 *
 * Access
 *   everything below "tree"    written with the namespace lock held, each store through velo_set32
 *                              and its like (lock.h), which first note the old value; read under
 *                              the lock, or without it between two equal even values of `sequence`
 *   counters, ticks, slices    relaxed atomics, by any process
 *
 * Invariants (check.c names them when they break)
 *   I1  each allocated node is reached from a root or counted in no directory (unlinked file)
 *   I2  a name is in exactly one hash chain, in its directory's list, and in its node's list
 *   I3  links of a file == length of its list of names; a directory has one name (a root has none)
 *   I4  entries of a directory == length of its list; subdirectories == those that are directories
 *   I5  a BACKED or DISK file is in the identity table under the kernel identity that it has
 *   I6  free lists and allocated slots together are each slot below `used`, once
 *   I7  sequence is even and the undo log empty whenever the lock is free
 *   I8  slice charges == sum of the charges of its files */
#ifndef VELO_CORE_LAYOUT_H
#define VELO_CORE_LAYOUT_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* O_PATH, AT_EMPTY_PATH, F_SETSIG and friends */
#endif

#include <assert.h>
#include <stdatomic.h>
#include <stdint.h>

#include "core/velo.h"

#define VELO_MAGIC 0x306f6c6576ull /* "velo0" */
#define VELO_VERSION 4u
#define VELO_NAME_INLINE 48u
#define VELO_CHUNK_BYTES 56u
#define VELO_NAME_MAX 255u
#define VELO_TARGET_MAX 4095u
#define VELO_ROOTS_MAX 256u
#define VELO_PROCESSES_MAX 1024u
#define VELO_UNDO_MAX 512u
#define VELO_SYMLINKS_MAX 40
#define VELO_TEMPORARY_PREFIX ".velo-put." /* a file on its way to its real path */
#define VELO_DEPTH_MAX 2048u /* of a directory; a path of 4,095 bytes cannot be deeper */

/* Free slots form a list through `next`; `used` is the high-water mark, `committed` how many slots
 * tmpfs has promised pages for (fallocate), so that touching one can never raise SIGBUS. */
struct velo_pool {
    uint64_t offset; /* bytes from the start of the meta file; constant */
    uint32_t slot_bytes, capacity; /* constant */
    uint32_t used, committed;
    uint32_t free_head, free_count;
};

/* The name of a thing in the kernel: where a descriptor of it leads. */
struct velo_identity {
    uint64_t device, inode;
    uint32_t next;   /* identity chain: (node << 1 | which), 0 ends it */
    uint32_t linked; /* 1 while in the table */
};

enum { VELO_ID_ARENA = 0, VELO_ID_DISK = 1 };

/* One file, directory, symlink or other thing. */
struct velo_node {
    uint32_t next_free;
    uint32_t generation; /* times this slot was allocated */
    uint8_t type;        /* enum velo_type; 0: free */
    uint8_t state;       /* enum velo_state, regular files */
    uint16_t home;       /* shard */
    uint32_t links;      /* names, for files; 1 for a directory that exists */
    velo_name_id first_name; /* its names, chained by velo_name.next_of_node */
    velo_node_id parent;     /* directories: the directory above, 0 for a root */
    /* directories */
    velo_name_id first_entry; /* chained by next_entry/previous_entry */
    uint32_t entries, subdirectories;
    uint32_t root_slot; /* of a root: its place in header.roots + 1 */
    /* symlinks: chunks of the target */
    velo_chunk_id target; /* first chunk */
    uint32_t mode, uid, gid; /* of BACKED files a copy, see `refreshed` */
    uint32_t flags;
    velo_name_id last_name; /* of a file in memory that has no name any more: its last, in no list,
                               kept so that /proc/self/fd can say where it was */
    uint64_t rdev;
    uint64_t size, blocks; /* blocks of 512 bytes */
    int64_t atime_ns, mtime_ns, ctime_ns, btime_ns;
    int64_t copied_ns; /* BACKED: ctime of its tmpfs file right after a copy or load; while it is
                          still that, nothing changed, and ctime_ns above is the truth */
    /* regular files. `version` counts changes of content or attributes; what follows tells of which
     * version something is true (0: of none) */
    uint64_t version;
    uint64_t refreshed; /* size, times, mode above are those of this version: no need to ask */
    uint64_t stored; /* `digest` is of this version */
    uint64_t backing; /* name of the tmpfs file in i/, BACKED only */
    uint64_t charged; /* bytes counted in its slice */
    union {
        _Atomic uint64_t access_tick; /* of regular files */
        _Atomic uint64_t tether; /* of directories: pid << 32 | descriptor there, or 0 (tether.h) */
    };
    struct velo_identity identity[2];
    uint8_t digest[32];
};

enum {
    VELO_NODE_PROGRAM = 1, /* exec or dlopen may want it at its real path */
    VELO_NODE_TIMES = 2, /* directory: its times on disk are not those here */
    VELO_NODE_QUERIED = 4, /* directory: its stamp was seen, so the next must be finer (a hint) */
    VELO_NODE_STALE = 8, /* directory: a crash may have left the disk different; reconcile it */
    VELO_NODE_PENDING = 16, /* counted in header.programs_pending */
    VELO_NODE_PROGRAM_LEASE =
        128, /* a program asked for a lease on it (a hint: program_leases.c) */
    VELO_NODE_LINKABLE = 64, /* born without a name, and may be given one */
    VELO_NODE_HAS_OPATH_FD =
        512, /* a process may have an O_PATH descriptor of its tmpfs file, and no lease tells of that:
                the identity of the tmpfs file stays known for good, also after the file left memory */
    VELO_NODE_WATCHED = 256, /* a program hears of what happens here or in it (watch.c) */
    VELO_NODE_LINKED_OUTSIDE =
        1024, /* no directory, on disk and stays there: has names outside, or had */
    VELO_NODE_PATH_TOO_LONG =
        4096, /* found where no absolute path leads: the kernel's, with all below it */
    VELO_NODE_MOUNT =
        8192, /* something is mounted here: the kernel's, with all below it (mounted.c) */
    VELO_NODE_RETIRED =
        32768, /* directory: what is below is the kernel's, and not known (retire.c) */
    VELO_NODE_LOCKED =
        16384, /* was locked by a program: on disk, and stays there (program_leases.c) */
    VELO_NODE_CLOSED =
        65536, /* directory: RETIRED because it could not be listed, until it can (reconcile.c) */
    VELO_NODE_ACL = 2048, /* directory: it has an ACL, so the kernel is asked and makes its files */
};

/* One name in a directory. Of a last name (node.last_name) only the text and the two words last_* are
 * true. disk_* tell what was put (or found) on disk under this name. */
struct velo_name {
    uint32_t next_free;
    velo_node_id parent, node;
    velo_name_id next_hash;
    union {
        velo_name_id next_entry;
        velo_node_id last_parent; /* of a last name: the directory that it was in, */
    };
    union {
        velo_name_id previous_entry;
        uint32_t last_generation; /* and that one's generation then */
    };
    velo_name_id next_of_node;
    uint32_t hash;
    uint16_t length;
    uint8_t flags; /* VELO_NAME_... */
    uint8_t reserved;
    velo_chunk_id more; /* chunks with the bytes after the first VELO_NAME_INLINE */
    uint32_t writer; /* pid of the process that is renaming a new version into place */
    uint32_t mark; /* reconcile pass that saw it; not part of the tree */
    uint64_t disk_version; /* version of the node that this name has on disk, 0: nothing of ours */
    uint64_t disk_inode;
    int64_t disk_mtime_ns, disk_ctime_ns;
    uint64_t disk_size;
    char text[VELO_NAME_INLINE];
};

enum {
    VELO_NAME_ON_DISK = 1, /* something stands at the real path, maybe an older version */
    VELO_NAME_POISON = 2, /* it is a socket of ours (poison.h) */
};

struct velo_chunk {
    velo_chunk_id next; /* free list, or the chain it belongs to */
    uint32_t reserved;
    char bytes[VELO_CHUNK_BYTES];
};

/* A hosted directory known so far, by the text of its path. */
struct velo_root {
    velo_node_id node; /* none: not (or no longer) hosted */
    velo_node_id building; /* while the disk's names are taken in, before any walk sees it */
    uint32_t hash;
    uint16_t length; /* 0: free */
    uint16_t reserved;
    char path[488];
};

struct velo_process {
    _Atomic uint32_t pid; /* 0: free */
    _Atomic uint32_t parked; /* the node that it waits for, VELO_ASIDE; 0: it does not wait */
    _Atomic uint64_t since_ns; /* CLOCK_BOOTTIME when it enlisted: a process with this pid that
                                  started later is another one */
};

#define VELO_ASIDE 0x80000000u /* it gave up its descriptors meanwhile */

struct velo_watcher { /* a process that watches something hosted */
    _Atomic uint32_t pid; /* 0: free */
    uint32_t reserved;
    _Atomic uint64_t since_ns;
};
#define VELO_WATCHERS_MAX 64u

struct velo_opaque_slot {
    _Atomic uint32_t pid; /* 0: free */
    _Atomic uint32_t tally; /* index of its name in `opaque` */
    _Atomic uint64_t since_ns;
    _Atomic uint32_t group, session; /* of processes, when it was entered */
    _Atomic uint32_t stays; /* it is opaque for good, also where our library is in it */
    uint32_t reserved;
};
#define VELO_OPAQUE_MAX 64u
#define VELO_OPAQUE_CLAIMED UINT32_MAX /* `pid` of a slot that is being filled */
/* A connection with a process that is not inside (peers.c).
 * Life     free -begin-> TRYING -known-> LIVES -poll-> ended, lingers -poll-> free
 * Owner    `owner`: the process inside that made it, and a serial number; so the end of one connection
 *          does not end a later one of the same process
 * Guards   the rest is written while `owner` has no process; `inode`, which comes last, makes it LIVES */
struct velo_peer {
    _Atomic uint64_t owner; /* serial << 32 | pid (0: it is being filled); 0: free */
    _Atomic uint64_t inode; /* of the socket inside, or of a FIFO | VELO_PEER_FIFO; 0: TRYING */
    _Atomic uint64_t waiting; /* of the socket that waits at a port, 0: not known by one */
    _Atomic uint64_t network; /* namespace, by its inode */
    _Atomic uint64_t since_ns, ended_ns; /* boot time; 0: it lives */
    _Atomic uint32_t fd, peer, tally;
    uint32_t reserved;
};
#define VELO_PEERS_MAX 256u
#define VELO_ENDPOINTS_MAX 1024u /* where processes inside wait to be asked, by hash */
#define VELO_ASKERS_MAX 1024u /* processes inside that asked lately, by hash; an older one goes */
/* Of symlinks outside that lead in (links.c): names of such, and directories that were looked
 * through for them.  A word says: directory (32 bits), its ctime (19), `outsiders` (12), has some. */
#define VELO_LINKS_MAX 256u
#define VELO_SCANNED_MAX 16384u

struct velo_tally { /* of one name of programs */
    _Atomic uint32_t claimed; /* 0 free, 1 being named, 2 named */
    uint32_t reserved;
    char name[32];
    _Atomic uint64_t count, nanoseconds;
};

/* What is known of one program or shared object, by a hash of what it is: the two lowest bits are
 * enum velo_profile, the others the hash; 0 is free. It is one store, so no reader sees half of it. */
#define VELO_PROFILES_MAX 4096u

struct velo_slice {
    uint64_t used_bytes; /* written under the lock, read by any process */
    uint64_t limit_bytes;
    uint64_t reserved[6];
};

struct velo_undo {
    uint64_t offset; /* bytes from the start of the mapping; lowest bit set: 4 bytes, else 8 */
    uint64_t old;
};

/* A rename or link whose half on disk may be done: recovery looks, and then does the other half of
 * a rename, too, and takes a link back. */
enum {
    VELO_INTENT_UNLINK = 0,
    VELO_INTENT_RENAME = 1,
    VELO_INTENT_LINK = 2,
    VELO_INTENT_EXCHANGE = 3,
};
struct velo_intent {
    _Atomic velo_name_id from_name; /* stored last; none: there is no intent */
    velo_node_id node, to_parent;
    uint16_t to_length;
    uint8_t kind; /* RENAME, LINK: `inode` comes to the new name; UNLINK: that is cleared */
    uint8_t reserved;
    uint64_t inode;
    char to_text[VELO_NAME_MAX + 1];
};

/* A writer's temporary file: whose, of which node, in which directory. */
struct velo_temporary {
    _Atomic uint32_t thread; /* 0: free */
    _Atomic velo_node_id node, parent;
    uint32_t reserved;
    _Atomic uint64_t since_ns; /* CLOCK_BOOTTIME: a thread of this id that is younger is another */
};
#define VELO_TEMPORARIES_MAX 64u

/* The namespace lock. One: held ~0.3 us for a change of the tree. */
struct velo_lock {
    _Atomic uint32_t word; /* 0, or thread id of the owner | VELO_LOCK_WAITERS */
    uint32_t reserved;
    _Atomic uint64_t since_ns; /* CLOCK_BOOTTIME when it was taken, to notice a reused id */
};

/* One event of the trace ring (trace.h). `mark` is its number + 1, and 0 while it is written. */
struct velo_event {
    _Atomic uint64_t mark;
    uint64_t ns; /* CLOCK_REALTIME */
    uint32_t pid, id;
    uint64_t a, b, sum;
};
#define VELO_EVENTS_MAX 4096u

struct velo_header {
    uint64_t magic;
    uint32_t version;
    uint32_t ready; /* 1 when creation has ended; checked by attach */
    uint64_t layout_hash;
    uint64_t size_bytes;
    uint64_t max_memory_bytes;
    uint64_t fixed_bytes; /* header and tables: committed at creation */
    _Atomic int64_t refused_ns; /* when a shard last had nothing to evict (space.c) */
    _Atomic int64_t retire_failed_ns; /* when names could not leave (retire.c) */
    uint64_t library_bytes; /* the copy of the preload library beside it */
    uint32_t shard_count, pattern_count;
    uint64_t pid_namespace; /* inode of the creator's: ids of another one mean nothing here */
    uint64_t arena_device; /* st_dev of the tmpfs files */
    char workspace[1024], alias[1024], socket[108];
    uint16_t workspace_length, alias_length;
    struct {
        uint8_t anchored; /* only right below the workspace */
        uint8_t absolute; /* text is a whole path */
        uint16_t length;
        char text[252]; /* no leading (unless absolute) and no trailing slash */
    } patterns[VELO_PATTERNS_MAX];

    struct velo_lock lock;
    struct velo_lock flush_lock; /* flush: one at a time */
    _Atomic uint64_t sequence; /* odd while the tree is being changed */
    _Atomic uint32_t undo_count;
    _Atomic velo_node_id disk_step; /* directory whose disk side is being changed, under the lock */
    _Atomic velo_node_id disk_step_other;
    uint32_t poison; /* tests: constant; see poison.h */
    struct velo_intent intent; /* the rename that disk_step is about, if it is one */
    struct velo_undo undo_log[VELO_UNDO_MAX];

    struct velo_pool nodes, names, chunks;
    uint64_t name_table_offset, identity_table_offset; /* uint32_t heads */
    uint32_t name_table_size, identity_table_size; /* powers of two */
    uint32_t root_count;
    uint32_t retired_count; /* directories that ever became the kernel's (retire.c) */
    _Atomic velo_node_id with_rights; /* modes on disk are ours, from here upwards (rights.h) */
    _Atomic velo_node_id with_rights_other;
    _Atomic uint32_t opened; /* likewise of a file, see rights.c */
    struct velo_root roots[VELO_ROOTS_MAX];

    _Atomic uint64_t next_backing;
    _Atomic int64_t time_floor_ns;
    uint32_t programs_pending; /* written under the lock, read by any process */
    _Atomic uint32_t opaque_running;
    _Atomic uint32_t paused;
    _Atomic uint32_t mark; /* last reconcile pass */
    _Atomic uint32_t link_count; /* of `links`, hashes of names */
    _Atomic uint32_t outside_epoch; /* ends when a symlink is made outside */
    _Atomic uint32_t watching; /* how many of `watchers` are taken; read without the lock */
    _Atomic uint32_t outsiders; /* times that others than us may have made some */
    _Atomic uint32_t links[VELO_LINKS_MAX];
    _Atomic uint64_t activity;
    _Atomic uint64_t writebacks, evictions, loads, recoveries;
    _Atomic uint64_t room_bytes; /* what the file system allows us, at most max_memory (room.c) */
    _Atomic int64_t room_ns; /* CLOCK_MONOTONIC_COARSE of that look */
    _Atomic uint64_t escapes[VELO_ESCAPE_COUNT];
    struct velo_slice slices[VELO_SHARDS_MAX];
    struct velo_process processes[VELO_PROCESSES_MAX];
    struct velo_temporary temporary[VELO_TEMPORARIES_MAX];
    struct velo_opaque_slot opaque_slots[VELO_OPAQUE_MAX];
    struct velo_peer peers[VELO_PEERS_MAX];
    _Atomic uint32_t peer_serial, peer_count; /* times one began; slots that were ever in use */
    _Atomic uint32_t fifos; /* some stand outside of hosted directories: each open looks for them */
    _Atomic uint32_t peers_unseen; /* one ended, and its work was not compared: others went on */
    _Atomic uint64_t peers_probe_ns; /* boot time when the next look is due */
    _Atomic uint64_t endpoints[VELO_ENDPOINTS_MAX];
    _Atomic uint64_t askers[VELO_ASKERS_MAX];
    _Atomic uint32_t mounts_below; /* something is mounted at or below a hosted directory, or was: a
                                        number that tells what */
    _Atomic uint32_t second_names; /* counted in opaque_running. 0: there are none, or a number */
    _Atomic uint32_t second_counted; /* as an escape, since there were none */
    _Atomic uint32_t second_flush_due; /* there is one, and the tree is not on disk yet */
    _Atomic uint32_t mounts_serial;
    _Atomic uint64_t mounts_scan_ns; /* boot time when the next look is due */
    struct velo_watcher watchers[VELO_WATCHERS_MAX];
    struct velo_tally interposed[VELO_NAMES_MAX], opaque[VELO_NAMES_MAX], raw[VELO_NAMES_MAX];
    _Atomic uint64_t profiles[VELO_PROFILES_MAX];
    _Atomic uint64_t scanned[VELO_SCANNED_MAX];
    _Atomic uint32_t traced; /* topics that are written down, a bit each */
    _Atomic uint64_t next_event;
    struct velo_event events[VELO_EVENTS_MAX];
};

static_assert(sizeof(struct velo_identity) == 24, "identity");
static_assert(sizeof(struct velo_node) == 256, "one node, four cache lines");
static_assert(sizeof(struct velo_name) == 136, "names hold no padding");
static_assert(offsetof(struct velo_name, text) % 8 == 0, "names are compared by words");
static_assert(offsetof(struct velo_chunk, bytes) % 8 == 0, "chunks are copied by words");
static_assert(sizeof(struct velo_chunk) == 64, "one chunk, one cache line");
static_assert(sizeof(struct velo_node) % 8 == 0, "nodes keep 8-byte fields aligned");
static_assert(sizeof(struct velo_undo) == 16, "intent");

static inline struct velo_node *velo_node_at(const struct velo_region *region, velo_node_id node)
{
    struct velo_node *all = (void *)(region->base + region->nodes.offset);
    return &all[node.slot < region->nodes.count ? node.slot : 0];
}

/* The way back. */
static inline velo_node_id velo_node_id_of(const struct velo_region *region,
                                           const struct velo_node *node)
{
    return velo_node_from((uint32_t)(node - velo_node_at(region, VELO_NO_NODE)));
}

static inline struct velo_name *velo_name_at(const struct velo_region *region, velo_name_id name)
{
    struct velo_name *all = (void *)(region->base + region->names.offset);
    return &all[name.slot < region->names.count ? name.slot : 0];
}

static inline struct velo_chunk *velo_chunk_at(const struct velo_region *region,
                                               velo_chunk_id chunk)
{
    struct velo_chunk *all = (void *)(region->base + region->chunks.offset);
    return &all[chunk.slot < region->chunks.count ? chunk.slot : 0];
}

static inline velo_name_id *velo_name_bucket(const struct velo_region *region, uint32_t hash)
{
    velo_name_id *table = (void *)(region->base + region->name_heads.offset);
    return &table[hash & (region->name_heads.count - 1)];
}

/* st_ino of a node: out of the range of real file systems' usual numbers, stable for its life. Of a
 * file with names outside the real one: `cp` must see that they are one file. */
static inline uint64_t velo_inode_number(const struct velo_node *node, velo_node_id index)
{
    const uint32_t flags = __atomic_load_n(&node->flags, __ATOMIC_RELAXED);
    if ((flags & (VELO_NODE_LINKED_OUTSIDE | VELO_NODE_PATH_TOO_LONG | VELO_NODE_RETIRED)) != 0)
        return __atomic_load_n(&node->identity[VELO_ID_DISK].inode, __ATOMIC_RELAXED);
    const uint32_t generation = __atomic_load_n(&node->generation, __ATOMIC_RELAXED);
    return 1ull << 47 | (uint64_t)(generation & 0x3fff) << 32 | index.slot;
}

#endif
