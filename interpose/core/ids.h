/* ids.h - part of velo.h, which includes it: the numbers of slots in an arena, a type for each kind.
 *
 * In    a slot's number where numbers come in: heads of chains, the wire, words that hold more than a number
 * Out   an id, which is of no use where one of another kind is wanted: that does not compile
 * Never a word of its own: an id is 4 bytes, in registers and in shared memory, and what the number was
 *
 * Enumerations and plain integers were rejected, because C turns one into the other without a word. Slot 0 of
 * each kind is no slot, so memory that was wiped says "none". */
#ifndef VELO_CORE_IDS_H
#define VELO_CORE_IDS_H

#include <assert.h>
#include <stdint.h>

/* clang-format off */
typedef struct { uint32_t slot; } velo_node_id;  /* a file, directory, symlink or other thing */
typedef struct { uint32_t slot; } velo_name_id;  /* one name in a directory */
typedef struct { uint32_t slot; } velo_chunk_id; /* a piece of a long text */
/* clang-format on */

static_assert(sizeof(velo_node_id) == 4 && _Alignof(velo_node_id) == 4, "as the number");
static_assert(sizeof(velo_name_id) == 4 && _Alignof(velo_name_id) == 4, "as the number");
static_assert(sizeof(velo_chunk_id) == 4 && _Alignof(velo_chunk_id) == 4, "as the number");

#define VELO_NO_NODE ((velo_node_id){0})
#define VELO_NO_NAME ((velo_name_id){0})
#define VELO_NO_CHUNK ((velo_chunk_id){0})

/* Of a number that came in; the caller knows of what kind it is. */
static inline velo_node_id velo_node_from(uint32_t slot)
{
    return (velo_node_id){slot};
}

static inline velo_name_id velo_name_from(uint32_t slot)
{
    return (velo_name_id){slot};
}

static inline velo_chunk_id velo_chunk_from(uint32_t slot)
{
    return (velo_chunk_id){slot};
}

/* Does it name a slot at all? Whether the slot is free, or another one's by now, it does not say. */
static inline int velo_is_node(velo_node_id id)
{
    return id.slot != 0;
}

static inline int velo_is_name(velo_name_id id)
{
    return id.slot != 0;
}

static inline int velo_is_chunk(velo_chunk_id id)
{
    return id.slot != 0;
}

static inline int velo_same_node(velo_node_id a, velo_node_id b)
{
    return a.slot == b.slot;
}

static inline int velo_same_name(velo_name_id a, velo_name_id b)
{
    return a.slot == b.slot;
}

#endif
