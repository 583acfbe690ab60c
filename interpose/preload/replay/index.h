/* index.h - the entries that answer: written by the sealer (shards/replay/index.py), read here.
 *
 * One file, `<arena>/r/index`, mapped to be read only. It only grows: an entry is whole before a bucket names it, and
 * never changes but for its last use. All offsets count words of 8 bytes from the file's start; 0 is none. */
#ifndef VELO_PRELOAD_REPLAY_INDEX_H
#define VELO_PRELOAD_REPLAY_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel/sha256.h"

#define VELO_INDEX_MAGIC 0x35584956u /* "VIX5" */
#define VELO_INDEX_BYTES (256u << 20) /* address space */

enum velo_fact_kind {
    VELO_FACT_CONTENT = 1, /* a regular file with these bytes */
    VELO_FACT_ABSENT,  /* stat says ENOENT or ENOTDIR */
    VELO_FACT_LABSENT, /* lstat does */
    VELO_FACT_STAT,  /* type and mode, of a file its size */
    VELO_FACT_LSTAT,
    VELO_FACT_TIMES, /* and mtime */
    VELO_FACT_LTIMES,
    VELO_FACT_LINK,  /* a symlink with the text at `text` */
    VELO_FACT_NO_LINK,
    VELO_FACT_NAMES, /* a directory with these names in it */
};

struct velo_fact {
    uint16_t kind, flags;
    uint32_t number; /* counted from 0 */
    uint32_t path, text;
    uint64_t device, inode, size;
    int64_t mtime_ns, ctime_ns;
    uint32_t mode, uid, gid;
    uint32_t before; /* for the sealer: the fact with the number before this one's */
    uint8_t digest[VELO_SHA256_BYTES];
};
_Static_assert(sizeof(struct velo_fact) == 104, "index.py writes it");
enum {
    VELO_FACT_IN_WORKSPACE = 1,
    VELO_FACT_SIGNED = 2, /* device to ctime say that it is the same */
    VELO_FACT_OWNED = 4,  /* owner and group count */
    VELO_FACT_WHOLE = 8   /* so do inode and ctime, and with it all that stat tells */
};

/* Some facts that stand side by side in the lists of many entries: 700 compilations share nearly all of theirs. */
struct velo_group {
    uint32_t count, number; /* of facts; counted from 0 */
    uint32_t before;        /* for the sealer: the group with the number before this one's */
    uint32_t facts[];       /* their offsets */
};

enum velo_output_kind {
    VELO_OUTPUT_FILE = 1,
    VELO_OUTPUT_DIRECTORY,
    VELO_OUTPUT_SYMLINK,
    VELO_OUTPUT_GONE
};

struct velo_output {
    uint16_t kind, flags;
    uint32_t mode;
    uint32_t path, bytes; /* bytes: of a short file, or a symlink's text; 0: in the store */
    uint64_t size;
    uint8_t digest[VELO_SHA256_BYTES];
};
_Static_assert(sizeof(struct velo_output) == 56, "index.py writes it");

struct velo_entry {
    uint32_t next, number;
    uint32_t group_count, groups; /* offsets of groups of facts, the cheapest to fail first */
    uint32_t output_count, outputs;
    uint32_t text, text_size, errors, errors_size; /* what it said, on 1 and on 2 */
    uint32_t flags, cost_ms; /* flags: below, and from bit 16 on the log's `terminal` */
    uint32_t bound; /* for the sealer: why it is true of this workspace alone; 0: also of a clone */
    uint32_t outlets; /* what velo_step_outlets said then */
    uint32_t label; /* what a user calls it */
    uint32_t used_at; /* for the sealer: when it was last of use, in seconds */
    uint32_t variables; /* names, as velo_step_named takes them; 0: all that count do */
    uint32_t reserved;
    uint8_t environment[VELO_SHA256_BYTES]; /* digest of these */
    uint8_t key[VELO_SHA256_BYTES];
    uint8_t rest[VELO_SHA256_BYTES];
};
_Static_assert(sizeof(struct velo_entry) == 168, "index.py writes it");
enum {
    VELO_ENTRY_NEEDS_REST = 1,
    VELO_ENTRY_NEEDS_NULL = 2, /* as standard input */
    VELO_ENTRY_NEEDS_NO_TERMINAL = 4,
    VELO_ENTRY_NEEDS_OUTLETS =
        8 /* the same as then: it said something, or may look where that would go */
};

struct velo_index {
    uint32_t magic, bucket_count;
    uint64_t used; /* bytes */
    uint32_t facts, entries; /* how many there are */
    uint32_t store; /* text: the directory of the blobs */
    uint32_t buckets;
    uint8_t salt[VELO_SHA256_BYTES];
    uint32_t last_fact, last_group;
    uint32_t groups, reserved; /* how many there are */
};
_Static_assert(sizeof(struct velo_index) == 80, "index.py writes it");

/* The index, mapped once; NULL: there is none. */
const struct velo_index *velo_index_there(void);

/* Of an entry in it, in words of 8 bytes. */
uint32_t velo_index_offset(const struct velo_entry *entry);
/* The words at an offset; an offset that leads out of the file means the file's head. */
static inline const void *velo_index_at(const struct velo_index *index, uint32_t offset)
{
    return (const unsigned char *)index +
           (offset < VELO_INDEX_BYTES / 8 ? (uint64_t)offset * 8 : 0);
}

/* Do all of its lists end within the file? */
bool velo_index_holds(const struct velo_index *index, const struct velo_entry *entry);

/* The next entry with this key after `before` (NULL: the first), or NULL. */
const struct velo_entry *velo_index_find(const struct velo_index *index,
                                         const uint8_t key[VELO_SHA256_BYTES],
                                         const struct velo_entry *before);

#endif
