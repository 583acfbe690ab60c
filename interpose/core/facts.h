/* facts.h - part of velo.h, which includes it: what callers may know of an arena and of a node without
 * their layout, and steps of other floors that wrappers take one by one.
 *
 * In    an attached region, a node number that a call of velo.h gave
 * Out   numbers and texts as they are at this moment; texts live as long as the mapping */
#ifndef VELO_CORE_FACTS_H
#define VELO_CORE_FACTS_H

/* ---- of an arena: tree/facts.c --------------------------------------------------------------- */
const char *velo_socket_of(const struct velo_region *region); /* of the router */
const char *velo_workspace_of(const struct velo_region *region);
/* "VELO_ARENA=@<number>": the mark of an arena for programs that must not know where it is. */
#define VELO_MARK_BYTES 24
void velo_arena_mark(const char *directory, char mark[VELO_MARK_BYTES]);
uint32_t velo_shard_count(const struct velo_region *region);
uint64_t velo_max_memory(const struct velo_region *region);
/* The path of hosted directory number `index`, below velo_root_count, or NULL: it is not there (any more). */
uint32_t velo_root_count(const struct velo_region *region);
const char *velo_root_path(const struct velo_region *region, uint32_t index);
/* The path of the hosted directory that a node is below, or is itself; NULL: of none (any more). */
const char *velo_root_above(const struct velo_region *region, velo_node_id node);
/* The pattern number `index` as velo.toml has it; false: there are no more. */
#define VELO_PATTERN_TEXT 260
int velo_pattern_text(const struct velo_region *region, uint32_t index,
                      char text[VELO_PATTERN_TEXT]);
/* Is `name` the last component of a pattern? */
int velo_ends_pattern(const struct velo_region *region, const char *name, size_t length);
/* A number that changes when a process made a symlink outside of hosted directories. */
uint32_t velo_outside_epoch(const struct velo_region *region);
void velo_outside_changed(struct velo_region *region);
/* A flag in the number that stands for a socket's inode (velo_peer_begin): the number is a FIFO's inode. */
#define VELO_PEER_FIFO (1ull << 63)
/* FIFOs stand outside of hosted directories: each open of a file looks. Once and for all (upkeep/peers.c). */
int velo_fifos_heeded(const struct velo_region *region);
void velo_fifos_heed(struct velo_region *region);
/* The program in that place of the table of opaque ones; not always ended by 0. */
const char *velo_opaque_name(const struct velo_region *region, uint32_t index, size_t *length);

/* The thread that has the lock of the tree; 0: none has. */
uint32_t velo_lock_owner(const struct velo_region *region);

struct velo_pulse {
    uint64_t activity; /* changes whenever a client changes anything */
    uint64_t used_bytes, limit_bytes; /* of the slice */
    int paused;
};
/* A few relaxed loads. -EINVAL: there is no such shard. */
int velo_pulse(const struct velo_region *region, uint32_t home, struct velo_pulse *out);

/* ---- of a node: tree/facts.c, tree/snapshot.c, tree/stamps.c --------------------------------- */
/* A consistent copy of what open needs to know of a node. */
struct velo_snapshot {
    enum velo_state state;
    uint32_t generation, links, home;
    uint64_t backing, version;
    uint64_t disk_inode; /* of the file that is on disk; another one after each put */
};
/* 0, or -ENOENT when the node is no regular file (any more). */
int velo_snapshot_take(struct velo_region *region, velo_node_id node, struct velo_snapshot *out);

uint32_t velo_generation_of(const struct velo_region *region, velo_node_id node);
uint64_t velo_inode_of(const struct velo_region *region, velo_node_id node); /* as st_ino */
int64_t velo_birth_of(const struct velo_region *region, velo_node_id node); /* ns */
velo_node_id velo_parent_of(const struct velo_region *region,
                            velo_node_id node); /* of its first name */
int velo_is_in_memory(const struct velo_region *region, velo_node_id node);
int velo_is_directory(const struct velo_region *region, velo_node_id node, uint32_t generation);
void velo_backing_path(const struct velo_region *region, uint64_t backing, char path[320]);
/* A file on its way to its real path, which no program is shown. */
int velo_is_temporary(const char *name);
/* A time for a new stamp: never before one that a program was shown, with `fine` later than all. */
int64_t velo_stamp(struct velo_region *region, int fine);
/* The clock that stamps are read from: the kernel's, or libc's without a system call, where that is not
 * a wrapper that would take the question for the program's. */
extern int (*velo_clock)(clockid_t clock, struct timespec *now);
/* A program was shown this time: later stamps are not earlier. */
void velo_raise_floor(struct velo_region *region, int64_t ns);

/* ---- trace.c ------------------------------------------------------------------------------- */
/* Sets the topics that are traced from now on, a bit for each; returns those until now. */
uint32_t velo_trace_topics(struct velo_region *region, uint32_t topics);
/* The text of an event and its topic, or NULL. */
const char *velo_trace_text(uint32_t id, const char **topic);
/* All events from number `from` on that are still there, oldest first; the number of the next. */
struct velo_event_info {
    uint64_t ns;
    uint32_t pid, id;
    uint64_t a, b;
};
typedef void (*velo_each_event)(void *context, const struct velo_event_info *event);
uint64_t velo_trace_read(struct velo_region *region, uint64_t from, velo_each_event each,
                         void *context);

/* ---- steps ----------------------------------------------------------------------------------- */
/* presence/open_files.c: each process that has `file` open, as /proc spells it. `see` gets the other
 * process (0: this one), the descriptor, and what follows `file` in the name. Nothing follows unless `file`
 * ends in a slash: that asks for all that is below it. When `see` returns not 0, the search ends, and that
 * is the result. -errno: a process that may have the file cannot be looked into. */
typedef int (*velo_open_file_visit)(void *context, uint32_t other, int fd, const char *rest);
int velo_open_files(const struct velo_region *region, const char *file, velo_open_file_visit see,
                    void *context);
/* Some process that has the file (as links in /proc/PID/fd name it), or 0. */
uint32_t velo_open_by(const struct velo_region *region, const char *file);
/* What /proc calls the file that this process has as `fd`. 0 or -errno. */
int velo_open_files_name(int fd, char file[PATH_MAX]);
/* Such a process of which `is_wanted` says yes, or 0. */
typedef int (*velo_stranger)(void *context, uint32_t pid, int fd);
uint32_t velo_open_by_wanted(const struct velo_region *region, const char *file,
                             velo_stranger is_wanted, void *context);
/* presence/watch.c: will a file that gets this name be announced? */
int velo_takes_watched_name(const struct velo_region *region, const struct velo_place *to);
/* The same: does a watcher hear of it when this directory is listed? */
int velo_listing_is_heard(const struct velo_region *region, velo_node_id directory);
/* disk/leave.c: BACKED or COLD -> DISK. 0 also when the file was not in memory; -EBUSY: a process has it
 * open; -errno. */
int velo_leave_memory(struct velo_region *region, velo_node_id node);
/* calls/retiring.c: everything is put, what is below the directory leaves memory, and all of it is the
 * kernel's from then on. 0; -ENOSPC: a process has a file there open, or had a moment ago. */
int velo_retire(struct velo_region *region, velo_node_id directory);
/* disk/rights.c: an O_TMPFILE file in a hosted directory at `path`, to read and write. */
int velo_tmpfile_with_rights(struct velo_region *region, velo_node_id directory, const char *path);
/* A file's bytes in memory once more, by a description of velo's own. A descriptor or -errno. */
int velo_reopen_in_memory(struct velo_region *region, velo_node_id node, int flags);
/* disk/relocate.c: the same wherever the file is now, with the flags of a descriptor of it, at offset 0. */
int velo_reopen(struct velo_region *region, velo_node_id node, int flags);
/* arena/process.c: this process waits until the file can leave memory (0: no more), and has given up its
 * descriptors of it (`aside`) or not. -EAGAIN: the table of processes has no place. */
int velo_park(struct velo_region *region, velo_node_id node, int aside);
/* The node that another process waits for, or none. */
velo_node_id velo_parked(const struct velo_region *region, uint32_t pid, int *aside);
/* The lowest number of a process that waits for this node, or 0. */
uint32_t velo_first_parked(const struct velo_region *region, velo_node_id node);
/* calls/across.c: the next node after `after` that has a name below `directory` and is not on disk
 * as it is now: a process writes it, or the disk refused it. Or none. */
velo_node_id velo_next_left(struct velo_region *region, velo_node_id directory, velo_node_id after);

#endif
