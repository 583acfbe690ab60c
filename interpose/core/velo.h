/* velo.h - the whole door of the core: the shared-memory namespace and what may be done to it.
 *
 * In    a path that a program named, or a node that a shard is about to flush
 * Out   kernel descriptors, kernel stat fields, 0 or a negative errno (never the errno variable)
 * Never malloc, stdio, locale, thread-local storage with a constructor, or abort: these functions
 *       run inside other people's compilers, also in a vfork child and in a signal handler.
 *
 * What lives where
 *   regular file   names and links here; bytes and attributes in a tmpfs file of its own (BACKED),
 *                  at the real path (DISK) or in the store only (COLD)
 *   directory, symlink, socket, FIFO, device
 *                  here, and always on disk too (write-through), so that getcwd, chdir, openat
 *                  anchors, exec and shebangs are the kernel's own */
#ifndef VELO_CORE_VELO_H
#define VELO_CORE_VELO_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* O_PATH, AT_EMPTY_PATH, F_SETSIG and friends */
#endif

#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

#include "core/ids.h"
#include "core/place.h"

struct velo_header; /* layout.h */
struct velo_walked; /* reconcile.h */

#define VELO_KEPT_MAX 16u

/* One mapping of one arena in this process. All zero is "not attached". */
struct velo_table {
    uint64_t offset;
    uint32_t count, slot_bytes;
};
struct velo_region {
    struct velo_header *header;
    struct velo_table nodes, names, chunks, name_heads, identity_heads; /* of no wild store */
    unsigned char *base;    /* the mapped meta file; offsets count from here */
    uint64_t size_bytes;    /* of the mapping */
    uint32_t shard_count, process_index; /* VELO_NO_PROCESS before enlisting */
    char directory[256];    /* the arena, e.g. /dev/shm/velo-0/<id>; no trailing slash */
    unsigned char *gone; /* says that this process is outside (opaque_children.c), or NULL */
    /* Asks a shard for something and waits; NULL means there is no shard to ask.
     * verb is VELO_ASK_...; returns 0, -ENOSPC, -EIO, -ETIMEDOUT, -ECONNREFUSED. */
    int (*ask)(struct velo_region *region, uint32_t verb, uint32_t shard, uint64_t argument);
    /* What lower floors cannot do themselves. Set by attach.
     * recover  repairs, under the lock, what a dead owner of it left
     * poll     before a walk: has a program ended that saw the disk, and not memory?
     * fresh    after it: 1 when the disk says something else, and the path is to be walked again
     * lost     a directory is no more at its path, by an outsider's doing */
    void (*recover)(struct velo_region *region);
    void (*poll)(struct velo_region *region);
    void (*lost)(struct velo_region *region, velo_node_id directory);
    int (*fresh)(struct velo_region *region, const struct velo_walked *walked,
                 const struct velo_place *place);
    /* Files in memory that this process has locked (program_leases.c): it closes none of them. */
    velo_node_id kept[VELO_KEPT_MAX];
    _Atomic uint32_t kept_count; /* more than there is room for: all are taken for such */
    struct velo_tethers *tethers; /* of a shard (tether.c), else NULL */
};

enum { VELO_ASK_SPACE = 1, VELO_ASK_LOAD = 2, VELO_ASK_WRITEBACK = 3, VELO_ASK_UNTETHER = 4 };
#define VELO_NO_PROCESS UINT32_MAX
#define VELO_SHARDS_MAX 64
#define VELO_PATTERNS_MAX 64

/* What `velo serve` decides once for the life of an arena. */
struct velo_options {
    const char *workspace;     /* physical absolute path, no trailing slash */
    const char *alias;         /* another spelling of it ($PWD through a symlink), or NULL */
    const char *socket;        /* path of the router's ipc:// socket */
    const char *const *patterns; /* "build/", "/out/", "a/b/", "/abs/dir/": as in velo.toml */
    uint32_t pattern_count;
    uint32_t shard_count;
    uint64_t max_memory_bytes;
    int poison; /* tests: a file that is not on disk yet fails there for a call that slips past us */
};

/* ---- region.c ------------------------------------------------------------------------------ */
int velo_region_create(const char *directory, const struct velo_options *options);
int velo_region_attach(struct velo_region *region,
                       const char *directory); /* -EPROTO: other build */
void velo_region_detach(struct velo_region *region);
/* For a process of one thread that sees the disk for good: a descriptor of the tables, or -errno; then its own copy. */
int velo_region_reopen(const struct velo_region *region);
void velo_region_part(struct velo_region *region, int fd);
uint64_t velo_layout_hash(void);
/* Put this process in the table of processes (name is its comm); proof of load. Never fails. */
void velo_enlist(struct velo_region *region, const char *name);
/* This process was opaque for a while (opaque.c), and is entered again. */
void velo_enlist_again(struct velo_region *region);
/* This process makes system calls without libc and is watched for them: counted by name. */
void velo_enlist_raw(struct velo_region *region, const char *name);
/* What was found out about a program or shared object, remembered for all processes. `key` is a hash
 * of what identifies it. VELO_PROFILE_NONE: no process looked yet, or the result was forgotten. */
enum velo_profile {
    VELO_PROFILE_NONE = 0,
    VELO_PROFILE_PLAIN = 1, /* names files through libc alone */
    VELO_PROFILE_RAW = 2, /* makes such system calls itself */
    VELO_PROFILE_OPAQUE = 3, /* makes them where they cannot be caught */
};
enum velo_profile velo_profile_find(struct velo_region *region, uint64_t key);
void velo_profile_keep(struct velo_region *region, uint64_t key, enum velo_profile profile);
/* Count one escape: reason is one of enum velo_escape. */
enum velo_escape {
    VELO_ESCAPE_OPAQUE = 0, /* a program we cannot enter ran; the tree was put on disk first */
    VELO_ESCAPE_DIRECT = 1, /* no space and no shard: a file was opened on disk itself */
    VELO_ESCAPE_ACROSS = 2, /* rename, link or exchange done on disk because it crossed out */
    VELO_ESCAPE_SYSCALL = 3, /* a raw system call that names files was handed over to us */
    VELO_ESCAPE_ATTACH = 4, /* a process could not attach */
    VELO_ESCAPE_UNREACHABLE = 5, /* code of a process calls a libc past our symbols: it is opaque */
    VELO_ESCAPE_PEER = 6, /* a process outside was asked to do something for one inside */
    VELO_ESCAPE_MOUNT = 7, /* a hosted directory under a second name, or a mount below one */
    VELO_ESCAPE_SANDBOX = 8, /* a program was started where the arena or the library is not */
    VELO_ESCAPE_LIBC = 9, /* a program with another C library or loader */
    VELO_ESCAPE_COUNT
};
void velo_escape(struct velo_region *region, enum velo_escape reason);

/* ---- resolve.c: text to place ---------------------------------------------------------------- */
/* Resolve absolute `text` (not normalised). Returns 0 with *place filled, or -ENOENT (a component
 * before the last is missing), -ENOTDIR, -ELOOP, -ENAMETOOLONG, -EACCES (search permission).
 * Any text is allowed; one that never touches a hosted directory gives VELO_OUTSIDE. */
int velo_walk(struct velo_region *region, const char *text, unsigned flags,
              struct velo_place *place);
/* The same, starting at a hosted directory (from an openat anchor or a hosted cwd). */
int velo_walk_at(struct velo_region *region, velo_node_id directory, const char *text,
                 unsigned flags, struct velo_place *place);
/* Quick reject: 0 when absolute `text` without ".." surely leads to no hosted directory. ~10 ns. */
int velo_may_host(const struct velo_region *region, const char *text);
/* The hosted node behind a kernel identity (from a plain fstat), or none. */
velo_node_id velo_node_of(struct velo_region *region, const struct stat *kernel);
/* Absolute real path of a node (of its first name); returns length or -ENOENT. */
int velo_path_of(struct velo_region *region, velo_node_id node, char path[PATH_MAX]);
/* Of a file in memory that has no name any more: the path of its last name. */
int velo_last_path_of(struct velo_region *region, velo_node_id node, char path[PATH_MAX]);

/* ---- file.c, name.c, attr.c, setattr.c: the operations, POSIX results, 0/fd or -errno --------- *
 * All take places from velo_walk with the right NOFOLLOW. All do the whole job, disk included.   */
int velo_open(struct velo_region *region, struct velo_place *place, int flags, mode_t mode);
/* O_TMPFILE in the directory `place`; and a name for such a file, which a descriptor leads to.
 * -ENOENT: such a file may have no name; -EXDEV: `to` is outside. */
int velo_open_tmpfile(struct velo_region *region, struct velo_place *place, int flags, mode_t mode);
int velo_link_tmpfile(struct velo_region *region, velo_node_id node, struct velo_place *to);
int velo_stat(struct velo_region *region, struct velo_place *place, struct stat *out);
int velo_access(struct velo_region *region, struct velo_place *place, int mode, int flags);
int velo_mkdir(struct velo_region *region, struct velo_place *place, mode_t mode);
int velo_rmdir(struct velo_region *region, struct velo_place *place);
int velo_unlink(struct velo_region *region, struct velo_place *place);
int velo_rename(struct velo_region *region, struct velo_place *from, struct velo_place *to,
                unsigned flags); /* one of them may be OUTSIDE */
struct velo_two_names { /* as renameat2 takes them */
    const char *from, *to;
    int from_fd, to_fd;
    unsigned flags;
    velo_node_id
        held; /* after -EXDEV: a hosted directory with files that are being written, or none */
};
/* Both are outside. 1: no hosted directory is below either, and nothing was done. */
int velo_rename_above(struct velo_region *region, struct velo_two_names *names);
int velo_link(struct velo_region *region, struct velo_place *from, struct velo_place *to);
int velo_symlink(struct velo_region *region, const char *target, struct velo_place *place);
int velo_mknod(struct velo_region *region, struct velo_place *place, mode_t mode, dev_t device);
ssize_t velo_readlink(struct velo_region *region, struct velo_place *place, char *out, size_t size);
int velo_chmod(struct velo_region *region, struct velo_place *place, mode_t mode);
int velo_chown(struct velo_region *region, struct velo_place *place, uid_t uid, gid_t gid);
int velo_utimens(struct velo_region *region, struct velo_place *place, const struct timespec t[2]);
int velo_truncate(struct velo_region *region, struct velo_place *place, off_t length);

/* After a plain fstat that returned 0: if the descriptor is a hosted file's or directory's, make
 * *st what a stat of its path would say. Returns 1 if it was hosted, else 0 and *st untouched. */
int velo_fstat_fix(struct velo_region *region, struct stat *st);
/* Has the file names outside, too? Then all that stat says of it is the kernel's. */
int velo_is_linked_outside(const struct velo_region *region, velo_node_id node);
/* Before such a call as below: a process that is killed in between leaves a file whose attributes are
 * asked of the kernel, not believed. 1 when the descriptor is hosted: tell of it afterwards, too. */
int velo_descriptor_changing(struct velo_region *region, int fd);
/* After fchmod, fchown, futimens (`times`), fsetxattr, ftruncate... succeeded natively. */
void velo_descriptor_changed(struct velo_region *region, int fd, int times);
/* After a native call changed attributes of what stands at place->text.path itself (an ACL). */
void velo_place_changed(struct velo_region *region, const struct velo_place *place);
/* The kernel path that now holds the bytes of a hosted regular file, opened for reading or, with for_writing, made
 * BACKED first: for calls that must be given a path (freopen, xattrs). `path` may be place->text.path. */
int velo_kernel_path(struct velo_region *region, struct velo_place *place, int for_writing,
                     char path[PATH_MAX]);
struct velo_attribute { /* an extended one that is to be set */
    const char *name;
    const void *value;
    size_t size;
};
/* Would the disk take it, beside those that the file open at `fd` has? 0, or -errno: tmpfs takes more. */
int velo_xattr_fits(struct velo_region *region, velo_node_id node, int fd,
                    const struct velo_attribute *attribute);
/* Something other than us changed `place` on disk (bind, an exotic call): look again. */
int velo_revalidate(struct velo_region *region, struct velo_place *place);

/* A directory's entries, as a snapshot. Calls `each` under no lock, once per name except . and ..;
 * inode is the hosted st_ino, type a DT_ constant. Returns 0, -ENOENT, -ENOMEM. */
typedef int (*velo_each_name)(void *context, const char *name, size_t length, uint64_t inode,
                              unsigned char type);
int velo_list(struct velo_region *region, velo_node_id directory, velo_each_name each,
              void *context);
/* st_ino of a directory and of its parent, for the "." and ".." entries. */
int velo_list_dots(struct velo_region *region, velo_node_id directory, uint64_t *dot,
                   uint64_t *dotdot);

/* ---- links.c: symlinks outside that lead in -------------------------------------------------- */
/* A symlink of this name leads in; later, whether one of this name may (a hint). */
void velo_link_note(struct velo_region *region, const char *name, size_t length);
int velo_link_known(const struct velo_region *region, const char *name, size_t length);
/* What is known of a directory outside, after a stat of it. */
enum velo_scanned {
    VELO_UNSEEN = 0, /* no process looked through it, or others may have been there since */
    VELO_NO_LINKS = 1, /* also when no more can be remembered */
    VELO_LINKS = 2,
};
enum velo_scanned velo_scanned_find(const struct velo_region *region, const struct stat *directory);
void velo_scanned_keep(struct velo_region *region, const struct stat *directory,
                       enum velo_scanned found);
/* A process that we do not see may have made symlinks. */
void velo_links_unsure(struct velo_region *region);

/* ---- watch.c: inotify, fanotify -------------------------------------------------------------- */
/* A program is about to watch this directory or file: what it is to hear of goes to the disk. */
void velo_watch(struct velo_region *region, velo_node_id node);

/* ---- program_leases.c: F_SETLEASE, locks ----------------------------------------------------- */
/* A program is about to ask the kernel for a lease on this file: shards leave it alone while it may hold one. */
void velo_lease_mark(struct velo_region *region, velo_node_id node);
int velo_has_program_lease(struct velo_region *region, velo_node_id node);
/* A program locked the file, on disk: the file does not come to memory any more. */
void velo_lock_mark(struct velo_region *region, velo_node_id node);
int velo_is_locked(const struct velo_region *region, velo_node_id node);
/* This process is about to lock the file in memory. */
void velo_lock_keep(struct velo_region *region, velo_node_id node);
int velo_keeps_lock(const struct velo_region *region, velo_node_id node);
int velo_is_unlinked(const struct velo_region *region, velo_node_id node);
/* A file of that name is there to be locked, likely by several processes: it is made on disk. */
int velo_names_a_lock(const struct velo_place *place);

/* ---- space.c ------------------------------------------------------------------------------- */
/* A file in memory will hold at least `bytes`, holes not counted. Waits for space. 0 or -ENOSPC. */
int velo_charge(struct velo_region *region, velo_node_id node, uint64_t bytes);
uint64_t velo_charged(const struct velo_region *region, velo_node_id node);
/* The same for a file that cannot go anywhere else: also beyond the limit, for which others will have to
 * make up. Does not wait. A program must not meet a full disk that is not full. */
void velo_charge_anyway(struct velo_region *region, velo_node_id node, uint64_t bytes);
/* Is there room enough to hand a file to a process whose writes we do not see, or to share it? After that
 * it cannot be moved any more. */
int velo_has_grant(const struct velo_region *region);
uint64_t velo_used_bytes(const struct velo_region *region); /* of all slices, and the metadata */
/* room.c: what all of the arena may hold now: max_memory, or less where others fill its file system.
 * As of the last 10 ms or so. */
uint64_t velo_limit_bytes(const struct velo_region *region);
int velo_is_tight(const struct velo_region *region); /* it is less */
int velo_is_full(const struct velo_region *region); /* the kernel has hardly a page, asked now */
/* Memory is full and the file that `fd` writes is what fills it: put it, and let it go on at its real
 * path, or without a name if it has none. Returns a new descriptor of it there with fd's flags, at offset 0; the
 * file is DISK and the caller's `fd` is of nothing any more. -EBUSY and nothing changed: other descriptors exist;
 * -EMLINK: it has very many names; -errno of the disk. */
int velo_relocate(struct velo_region *region, velo_node_id node, int fd);
/* The file is DISK, and stays DISK under the inode number that the kernel knows: the kernel tells it to others. */
void velo_stays_on_disk(struct velo_region *region, velo_node_id node);
#define VELO_CHARGE_STEP (64u * 1024u) /* charges are multiples of it */

/* ---- writeback.c: memory to the real tree ------------------------------------------ */
enum {
    VELO_FLUSH_PROGRAMS = 1, /* only what exec and dlopen may need: executables, shared objects */
    VELO_FLUSH_SYNC = 2, /* fsync the file; of velo_flush: one syncfs for each hosted root */
};
/* Put one node at all its names. 0; 1 if a writer still has it open (a snapshot was put, it stays dirty); -errno. */
int velo_writeback(struct velo_region *region, velo_node_id node, unsigned flags);
struct velo_flush_result {
    uint64_t files, directories, bytes, still_open, failed;
    int first_error; /* -errno of the first failure, or 0 */
};
/* Called by a client before velo_flush: files that are in the store alone, because the tree's disk refused
 * them, are put if the disk accepts them now; a shard loads them. 0, or the first -errno. */
int velo_flush_cold(struct velo_region *region);
/* Put everything dirty, oldest mtime first, then directory times. One at a time in
 * the whole workspace (the flush lock); waits up to timeout_ms for it, 0 = try. 0 or -EAGAIN. */
int velo_flush(struct velo_region *region, unsigned flags, uint32_t timeout_ms,
               struct velo_flush_result *result);
/* Nonzero when some executable or shared object is not on disk yet: one relaxed load. */
int velo_programs_pending(const struct velo_region *region);

/* By a shard: leave tethers that no file needs; `more`: take those that a file needs (tether.c). */
int velo_tether(struct velo_region *region, int more);
/* While no process is inside: how many roots outsiders removed or moved; `forget`: no more roots. */
int velo_lost_roots(struct velo_region *region, int forget);

/* ---- opaque.c: programs that cannot be entered, and see the disk ------------------------------ *
 * `begin` right before one is run: puts the tree and counts the program.  `pid` is the process that
 * becomes the program or, when that has no number yet, the process that starts it; then `started`
 * follows, with the number.  While the program runs, the walks of all others compare each path with
 * the disk, and what they write goes there; the first walk after its end compares everything. */
int velo_opaque_begin(struct velo_region *region, pid_t pid, const char *name);
/* The same of a program that is ours, and will see the disk for good. `gone` tells those that meet it or its
 * children: they are outside although they have the arena in their memory. `back` takes that back. */
int velo_opaque_leaves(struct velo_region *region, pid_t pid, const char *name);
void velo_mark_gone(struct velo_region *region);
void velo_mark_back(struct velo_region *region);
void velo_opaque_started(struct velo_region *region, pid_t starter, pid_t pid, const char *name);
/* The same of a process that runs already and could not attach; the caller puts the tree. */
void velo_opaque_await_exit(struct velo_region *region, pid_t pid, const char *name);
/* The same of a dead process: the kernel wrote its memory (a core) into its working directory. */
void velo_core_was_dumped(struct velo_region *region, pid_t pid);
/* Nonzero while an opaque program runs, or ended and no walk has looked since: one relaxed load. */
int velo_opaque_runs(const struct velo_region *region);

/* ---- mounts.c: what is mounted below hosted directories, and their second names --------------- *
 * Around a mount, or an end of one, by this process: before, the tree is put; after, also one that
 * failed, what is mounted now is looked for and all is compared. */
void velo_mount_begin(struct velo_region *region);
void velo_mount_end(struct velo_region *region);
/* After velo_reconcile has looked for second names: if it found one, the tree is put. */
void velo_mounts_apply(struct velo_region *region);
/* A process, maybe outside, mounted something somewhere. */
void velo_mounts_changed(struct velo_region *region);
/* Changes when a path may lead elsewhere because of mounts. */
uint32_t velo_mount_changes(const struct velo_region *region);
/* There are second names: a file may have a path that only the kernel knows, and is found by its identity then. */
int velo_has_second_names(const struct velo_region *region);

/* ---- peers.c: processes outside that are asked to do something by one inside ------------------ *
 * Such a peer is an opaque program while the connection lives, and a moment longer. `begin` before it
 * can hear of us: puts the tree; the slot, or -1. Then `known` or, when there was no peer or the peer
 * is inside, `none`. */
int velo_peer_begin(struct velo_region *region, int fd, uint64_t inode);
void velo_peer_known(struct velo_region *region, int slot, uint32_t peer, const char *name,
                     uint64_t waiting);
void velo_peer_none(struct velo_region *region, int slot);
/* A process outside that has open what this process has as `fd`, or 0. `kin`: a process inside has it. */
uint32_t velo_peer_at_fifo(struct velo_region *region, int fd, int *kin);
/* Has the socket with this inode a peer already? */
int velo_peer_has(const struct velo_region *region, uint64_t inode);
/* The process that waits on the socket of that inode at a port, found among all processes; 0: none found. */
uint32_t velo_peer_owner(struct velo_region *region, uint64_t waiting);
/* Is that process inside: attached, or a child of one that is? */
int velo_peer_is_inside(struct velo_region *region, uint32_t pid);
/* A process inside waits at that endpoint: `key` is an inode of a socket, or a hash of a name. */
void velo_endpoint_note(struct velo_region *region, uint64_t key);
int velo_endpoint_known(const struct velo_region *region, uint64_t key);
/* A process inside asks, as `key` says: a hash. The process that is asked need not look for the asker. */
void velo_asker_note(struct velo_region *region, uint64_t key);
int velo_asker_known(struct velo_region *region, uint64_t key, int only_once);
/* The other way round: `peer` (0: unknown) is outside, and asked us by that socket of ours. */
void velo_peer_asks(struct velo_region *region, int fd, uint64_t inode, uint32_t peer,
                    const char *name);

/* ---- reconcile.c ----------------------------------------------------------------------------- */
struct velo_reconcile_result {
    uint64_t seen, ingested, changed, vanished, conflicts;
};
/* Called for a dirty file whose disk copy was changed by another process too, before memory wins. */
typedef void (*velo_conflict)(void *context, const char *path);
/* Compare every known hosted directory with the disk and take in outside changes. */
int velo_reconcile(struct velo_region *region, velo_conflict conflict, void *context,
                   struct velo_reconcile_result *result);

/* ---- shard side (shard.c) -------------------------------------------------------------------- */
enum velo_state { VELO_STATE_NONE = 0, VELO_BACKED = 1, VELO_DISK = 2, VELO_COLD = 3 };
struct velo_node_info { /* a copy, taken without a lock, of one regular file's state */
    velo_node_id node;
    uint32_t generation;
    uint32_t home; /* shard */
    uint32_t state; /* enum velo_state */
    uint32_t links; /* 0: unlinked, kept while a process has it open */
    uint32_t dirty_disk; /* newer than the real path */
    uint32_t dirty_store; /* newer than the CAS */
    uint32_t mode;
    uint64_t version; /* counts content and attribute changes */
    uint64_t charged_bytes, size_bytes;
    int64_t mtime_ns;
    uint64_t access_tick; /* coarse; larger is more recent */
    uint8_t digest[32]; /* valid when has_digest */
    uint32_t has_digest;
};
/* Regular files of one home shard (or all: UINT32_MAX), from node `*cursor` on, at most `capacity`.
 * Returns the count; *cursor becomes where to go on, 0 at the end. */
uint32_t velo_scan(struct velo_region *region, uint32_t home, uint32_t *cursor,
                   struct velo_node_info *out, uint32_t capacity);
int velo_node_info(struct velo_region *region, velo_node_id node, struct velo_node_info *out);
/* Set the charge of a BACKED file to what tmpfs really holds; refresh its attributes when no process
 * writes it; free it when it is unlinked and no process has it open (returns 1 then). */
int velo_refresh_attributes(struct velo_region *region, velo_node_id node);
/* A read-only descriptor on the current bytes (BACKED or DISK), for the store. -ENOENT, -EAGAIN. */
int velo_open_bytes(struct velo_region *region, velo_node_id node);
/* The bytes of the file that was `seen` are in the store as `digest`. 0; -ESTALE: it changed, or has gone. */
int velo_stored(struct velo_region *region, const struct velo_node_info *seen,
                const uint8_t digest[32]);
/* Take a BACKED file out of memory: to DISK when all its names are on disk, else to COLD when it is
 * stored. 0; -EBUSY (open, or dirty both ways, or changed); -ENOENT. */
int velo_evict(struct velo_region *region, velo_node_id node);
/* The file in memory of a BACKED file was removed (missing.h): where are its bytes? The node is there from
 * now on: DISK, or COLD when the caller says that the store has them. LOST: nowhere, and nothing was changed. */
enum velo_missing {
    VELO_NOT_MISSING,
    VELO_MISSING_ON_DISK,
    VELO_MISSING_STORED,
    VELO_MISSING_LOST,
};
enum velo_missing velo_missing(struct velo_region *region, velo_node_id node, int in_store);
/* The names of such a file become what the disk has: an older version, or nothing. How many; -errno. */
int velo_missing_drop(struct velo_region *region, velo_node_id node);
/* COLD -> BACKED. `begin` gives a descriptor for the bytes; `end` publishes them, if the file is as it was `seen`. */
int velo_load_begin(struct velo_region *region, velo_node_id node, uint64_t *token);
/* With fd -1 the load is given up: what `begin` made is removed, the answer is an error. */
int velo_load_end(struct velo_region *region, const struct velo_node_info *seen, uint64_t token,
                  int fd);
/* Remove tmpfs files that no node refers to and whose creator is dead. Returns how many. */
int velo_sweep(struct velo_region *region);

/* Everything `velo status` shows that the arena knows. Counters only grow while the arena lives. */
struct velo_name_count {
    char name[32];
    uint64_t count, nanoseconds; /* opaque only: of putting the tree before, comparing it after */
};
#define VELO_NAMES_MAX 128
struct velo_statistics {
    uint64_t max_memory_bytes, used_bytes, metadata_bytes;
    uint64_t slice_used_bytes[VELO_SHARDS_MAX], slice_limit_bytes[VELO_SHARDS_MAX];
    uint64_t directories, symlinks, others, unlinked;
    uint64_t files[4], file_bytes[4]; /* by enum velo_state */
    uint64_t dirty_files, dirty_bytes, unstored_files;
    uint64_t activity; /* changes whenever a client changes anything */
    uint64_t live_processes; /* enlisted and still alive */
    uint64_t writebacks, evictions, loads, recoveries;
    uint64_t escapes[VELO_ESCAPE_COUNT];
    uint32_t interposed_count, opaque_count, raw_count, paused;
    struct velo_name_count interposed[VELO_NAMES_MAX], opaque[VELO_NAMES_MAX];
    struct velo_name_count raw[VELO_NAMES_MAX];
};
int velo_statistics(struct velo_region *region, struct velo_statistics *out);
void velo_pause(struct velo_region *region, int paused);

/* ---- check.c --------------------------------------------------------------------------------- */
/* Walk everything under the lock; 0, or -EUCLEAN with the first broken invariant in `why`. */
int velo_check(struct velo_region *region, char *why, size_t why_size);

#include "core/facts.h"
#include "core/whole.h"

#endif
