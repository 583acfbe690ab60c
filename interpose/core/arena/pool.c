/* pool.c - slots of nodes, names and chunks: taking, giving back, growing.
 *
 * Growth commits pages first (fallocate of the meta file), so a full tmpfs is -ENOSPC for one
 * program and never SIGBUS for another.
 *
 * The one rule for callers: within one change, take slots before giving any back.  A slot that was
 * taken is filled with plain stores, since no list reaches it yet.  So undo could not restore a slot
 * that the same change gave back a moment before. */
#include "pool.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "kernel/os.h"
#include "kernel/text.h"

#define COMMIT_SHARE 64u /* of max_memory at a time, within these: */
#define COMMIT_BYTES_MIN (64u * 1024u)
#define COMMIT_BYTES_MAX (256u * 1024u)
#define PAGE_BYTES 4096u
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

static uint32_t commit_bytes(const struct velo_header *header)
{
    const uint64_t share = header->max_memory_bytes / COMMIT_SHARE;
    return share < COMMIT_BYTES_MIN   ? COMMIT_BYTES_MIN
           : share > COMMIT_BYTES_MAX ? COMMIT_BYTES_MAX
                                      : (uint32_t)share;
}

static int commit_more(struct velo_region *region, struct velo_pool *pool)
{
    char path[sizeof region->directory + 8];
    strcpy(stpcpy(path, region->directory), "/meta");
    const int fd = velo_os_open(path, O_RDWR | O_CLOEXEC, 0);
    if (fd < 0 && fd != -EMFILE && fd != -ENFILE)
        return fd;
    const uint64_t start = pool->offset + (uint64_t)pool->committed * pool->slot_bytes;
    uint32_t slots = commit_bytes(region->header) / pool->slot_bytes;
    if (slots > pool->capacity - pool->committed)
        slots = pool->capacity - pool->committed;
    const size_t bytes = (size_t)slots * pool->slot_bytes, edge = start % PAGE_BYTES;
    const int rc = fd >= 0 ? velo_os_fallocate(fd, (off_t)start, (off_t)bytes)
                           /* all descriptors are taken */
                           : (int)velo_sys3(SYS_madvise, velo_word(region->base + start - edge),
                                            (long)(bytes + edge), MADV_POPULATE_WRITE);
    if (fd >= 0)
        velo_os_close(fd);
    if (rc == 0) /* not through velo_set: committed pages stay so whatever becomes of this change */
        __atomic_store_n(&pool->committed, pool->committed + slots, __ATOMIC_RELAXED);
    return rc;
}

/* As it was laid out, and `slot` is one of it: a wild store can say otherwise. */
static int is_sound(const struct velo_region *region, const struct velo_pool *pool, uint32_t slot)
{
    const struct velo_header *header = region->header;
    const struct velo_table *table = pool == &header->nodes   ? &region->nodes
                                     : pool == &header->names ? &region->names
                                                              : &region->chunks;
    return pool->offset == table->offset && pool->capacity == table->count &&
           pool->slot_bytes == table->slot_bytes && pool->committed <= table->count &&
           slot < table->count;
}

static uint32_t *slot_link(struct velo_region *region, struct velo_pool *pool, uint32_t slot)
{
    return (uint32_t *)(void *)(region->base + pool->offset + (uint64_t)slot * pool->slot_bytes);
}

static uint32_t slot_take_locked(struct velo_region *region, struct velo_pool *pool)
{
    const uint32_t slot = pool->free_head;
    if (!is_sound(region, pool, slot))
        return 0;
    if (slot != 0) {
        velo_set32(region, &pool->free_head, *slot_link(region, pool, slot));
        velo_set32(region, &pool->free_count, pool->free_count - 1);
        return slot;
    }
    if (pool->used >= pool->capacity)
        return 0;
    if (pool->used >= pool->committed && commit_more(region, pool) != 0)
        return 0;
    const uint32_t fresh = pool->used;
    velo_set32(region, &pool->used, fresh + 1);
    return fresh;
}

static void slot_give_locked(struct velo_region *region, struct velo_pool *pool, uint32_t slot)
{
    if (!is_sound(region, pool, slot))
        return;
    velo_set32(region, slot_link(region, pool, slot), pool->free_head);
    velo_set32(region, &pool->free_head, slot);
    velo_set32(region, &pool->free_count, pool->free_count + 1);
}

velo_node_id velo_node_new_locked(struct velo_region *region, enum velo_type type)
{
    const velo_node_id index = velo_node_from(slot_take_locked(region, &region->header->nodes));
    if (!velo_is_node(index))
        return VELO_NO_NODE;
    struct velo_node *node = velo_node_at(region, index);
    /* A slot that is free has no content to save: only the link (kept) and the generation. A crash
     * before commit leaves rubbish in a free slot, which is what free slots hold. */
    const uint32_t generation = node->generation + 1;
    velo_slot_wipe(node, sizeof *node);
    VELO_INIT(node->generation, generation);
    velo_type_set_locked(region, index, type); /* noted: a free slot must not look alive */
    return index;
}

static void name_slot_free_locked(struct velo_region *region, velo_name_id index);

void velo_node_free_locked(struct velo_region *region, velo_node_id index)
{
    struct velo_node *node = velo_node_at(region, index);
    velo_identity_clear_locked(region, index, VELO_ID_ARENA);
    velo_identity_clear_locked(region, index, VELO_ID_DISK);
    if ((node->flags & VELO_NODE_PENDING) != 0)
        velo_set32(region, &region->header->programs_pending, region->header->programs_pending - 1);
    if (velo_is_chunk(node->target))
        velo_text_free_locked(region, node->target);
    if (velo_is_name(node->last_name))
        name_slot_free_locked(region, node->last_name);
    if (node->charged != 0)
        velo_charge_set_locked(region, index, 0);
    velo_type_set_locked(region, index, VELO_NONE);
    slot_give_locked(region, &region->header->nodes, index.slot);
}

static uint32_t chunk_count(size_t length)
{
    return (uint32_t)((length + VELO_CHUNK_BYTES - 1) / VELO_CHUNK_BYTES);
}

velo_chunk_id velo_text_new_locked(struct velo_region *region, const char *text, size_t length)
{
    velo_chunk_id first = VELO_NO_CHUNK, previous = VELO_NO_CHUNK;
    for (uint32_t left = chunk_count(length); left > 0; left--) {
        const velo_chunk_id slot =
            velo_chunk_from(slot_take_locked(region, &region->header->chunks));
        if (!velo_is_chunk(slot))
            return VELO_NO_CHUNK; /* the caller aborts, which gives all of them back */
        struct velo_chunk *chunk = velo_chunk_at(region, slot);
        const size_t part = length < VELO_CHUNK_BYTES ? length : VELO_CHUNK_BYTES;
        velo_slot_wipe(chunk, sizeof *chunk);
        velo_slot_write(chunk->bytes, text, part);
        text += part;
        length -= part;
        velo_set_chunk(region, &chunk->next, VELO_NO_CHUNK);
        if (!velo_is_chunk(previous))
            first = slot;
        else
            velo_set_chunk(region, &velo_chunk_at(region, previous)->next, slot);
        previous = slot;
    }
    return first;
}

void velo_text_free_locked(struct velo_region *region, velo_chunk_id first)
{
    struct velo_pool *pool = &region->header->chunks;
    if (!is_sound(region, pool, first.slot))
        return;
    velo_chunk_id last = first;
    uint32_t count = 1;
    for (velo_chunk_id next;
         velo_is_chunk(next = velo_chunk_at(region, last)->next) && count < region->chunks.count;
         count++)
        last = next;
    velo_set_chunk(region, &velo_chunk_at(region, last)->next, velo_chunk_from(pool->free_head));
    velo_set32(region, &pool->free_head, first.slot);
    velo_set32(region, &pool->free_count, pool->free_count + count);
}

static size_t text_read(const struct velo_region *region, velo_chunk_id chunk, char *out,
                        size_t length)
{
    size_t done = 0;
    while (done < length && velo_is_chunk(chunk)) {
        const struct velo_chunk *from = velo_chunk_at(region, chunk);
        const size_t part = length - done < VELO_CHUNK_BYTES ? length - done : VELO_CHUNK_BYTES;
        velo_slot_read(from->bytes, out + done, part);
        done += part;
        chunk = VELO_READ_ID(from->next);
    }
    return done;
}

long velo_target_read(const struct velo_region *region, const struct velo_node *node, char *out,
                      size_t size)
{
    const uint64_t length = VELO_READ(node->size);
    if (length > VELO_TARGET_MAX || length >= size)
        return -ENAMETOOLONG;
    if (text_read(region, VELO_READ_ID(node->target), out, length) != length)
        return -ENAMETOOLONG; /* torn: the caller's read_retry will say so */
    out[length] = 0;
    return (long)length;
}

/* A wild store can make any bytes of a name; no path may lead elsewhere by them. */
static int is_no_name(const char *text, size_t length)
{
    return memchr(text, '/', length) != NULL || memchr(text, 0, length) != NULL ||
           (text[0] == '.' && (length == 1 || (length == 2 && text[1] == '.')));
}

size_t velo_name_text(const struct velo_region *region, const struct velo_name *name,
                      char out[VELO_NAME_MAX + 1])
{
    size_t length = __atomic_load_n(&name->length, __ATOMIC_RELAXED);
    if (length > VELO_NAME_MAX)
        length = VELO_NAME_MAX;
    const size_t inlined = length < VELO_NAME_INLINE ? length : VELO_NAME_INLINE;
    velo_slot_read(name->text, out, inlined);
    const size_t rest =
        text_read(region, VELO_READ_ID(name->more), out + inlined, length - inlined);
    const size_t all = is_no_name(out, inlined + rest) ? 0 : inlined + rest;
    out[all] = 0;
    return all;
}

static velo_name_id name_slot_new_locked(struct velo_region *region, const char *text,
                                         size_t length)
{
    const velo_name_id index = velo_name_from(slot_take_locked(region, &region->header->names));
    if (!velo_is_name(index))
        return VELO_NO_NAME;
    struct velo_name *name = velo_name_at(region, index);
    velo_slot_wipe(name, sizeof *name);
    VELO_INIT(name->length, (uint16_t)length);
    const size_t inlined = length < VELO_NAME_INLINE ? length : VELO_NAME_INLINE;
    velo_slot_write(name->text, text, inlined);
    if (length > inlined) {
        VELO_INIT_ID(name->more, velo_text_new_locked(region, text + inlined, length - inlined));
        if (!velo_is_chunk(name->more))
            return VELO_NO_NAME;
    }
    return index;
}

static void name_slot_free_locked(struct velo_region *region, velo_name_id index)
{
    struct velo_name *name = velo_name_at(region, index);
    if (velo_is_chunk(name->more))
        velo_text_free_locked(region, name->more);
    velo_set_node(region, &name->node, VELO_NO_NODE);
    velo_set_node(region, &name->parent, VELO_NO_NODE);
    slot_give_locked(region, &region->header->names, index.slot);
}

/* ---- names: in three lists each (hash chain, directory, node) -------------------------------- */

static int same_text(const struct velo_region *region, const struct velo_name *name,
                     const char *text, size_t length)
{
    if (__atomic_load_n(&name->length, __ATOMIC_RELAXED) != length)
        return 0;
    const size_t inlined = length < VELO_NAME_INLINE ? length : VELO_NAME_INLINE;
    if (!velo_slot_equals(name->text, text, inlined))
        return 0;
    if (length == inlined)
        return 1;
    char all[VELO_NAME_MAX + 1];
    return velo_name_text(region, name, all) == length && memcmp(all, text, length) == 0;
}

velo_name_id velo_name_find(const struct velo_region *region, velo_node_id parent, const char *text,
                            size_t length)
{
    const uint32_t hash = velo_hash(parent.slot, text, length);
    velo_name_id index = VELO_READ_ID(*velo_name_bucket(region, hash));
    /* The bound ends a walk through a chain that is being changed; the caller retries then. */
    for (uint32_t steps = 0; velo_is_name(index) && steps < region->names.count; steps++) {
        const struct velo_name *name = velo_name_at(region, index);
        if (VELO_READ(name->hash) == hash && velo_same_node(VELO_READ_ID(name->parent), parent) &&
            same_text(region, name, text, length))
            return index;
        index = VELO_READ_ID(name->next_hash);
    }
    return VELO_NO_NAME;
}

static void count_entry_locked(struct velo_region *region, velo_node_id parent, velo_node_id node,
                               int add)
{
    struct velo_node *directory = velo_node_at(region, parent);
    velo_set32(region, &directory->entries, directory->entries + (uint32_t)add);
    if (velo_node_at(region, node)->type == VELO_DIRECTORY)
        velo_set32(region, &directory->subdirectories, directory->subdirectories + (uint32_t)add);
}

velo_name_id velo_name_enter_locked(struct velo_region *region, velo_node_id parent,
                                    const char *text, size_t length, velo_node_id node_index)
{
    const velo_name_id index = name_slot_new_locked(region, text, length);
    if (!velo_is_name(index))
        return VELO_NO_NAME;
    struct velo_name *name = velo_name_at(region, index);
    struct velo_node *directory = velo_node_at(region, parent);
    struct velo_node *node = velo_node_at(region, node_index);
    const uint32_t hash = velo_hash(parent.slot, text, length);
    velo_name_id *bucket = velo_name_bucket(region, hash);
    /* Still unreachable: plain stores, a crash makes it a free slot again. */
    VELO_INIT_ID(name->parent, parent);
    VELO_INIT_ID(name->node, node_index);
    VELO_INIT(name->hash, hash);
    VELO_INIT_ID(name->next_hash, *bucket);
    VELO_INIT_ID(name->next_entry, directory->first_entry);
    VELO_INIT_ID(name->next_of_node, node->first_name);
    if (velo_is_name(directory->first_entry))
        velo_set_name(region, &velo_name_at(region, directory->first_entry)->previous_entry, index);
    velo_set_name(region, &directory->first_entry, index);
    velo_set_name(region, &node->first_name, index);
    velo_set32(region, &node->links, node->links + 1);
    if (node->type == VELO_DIRECTORY)
        velo_set_node(region, &node->parent, parent);
    count_entry_locked(region, parent, node_index, 1);
    velo_set_name(region, bucket, index);
    return index;
}

static velo_name_id *link_at(const struct velo_region *region, velo_name_id index, size_t offset)
{
    return (velo_name_id *)(void *)((unsigned char *)velo_name_at(region, index) + offset);
}

static void unchain_locked(struct velo_region *region, velo_name_id *head, velo_name_id index,
                           size_t link_offset)
{
    for (uint32_t left = region->names.count; /* a wild store can make a circle */
         left > 0 && velo_is_name(*head) && !velo_same_name(*head, index); left--)
        head = link_at(region, *head, link_offset);
    if (velo_same_name(*head, index))
        velo_set_name(region, head, *link_at(region, index, link_offset));
}

/* A process may have the file open: its last name leaves all lists, but is not forgotten. */
static void keep_last_locked(struct velo_region *region, struct velo_node *node, velo_name_id index,
                             velo_node_id parent)
{
    struct velo_name *name = velo_name_at(region, index);
    velo_set_node(region, &name->last_parent, parent);
    velo_set32(region, &name->last_generation, velo_node_at(region, parent)->generation);
    velo_set_node(region, &name->parent, VELO_NO_NODE);
    velo_set_node(region, &name->node, VELO_NO_NODE);
    velo_set_name(region, &node->last_name, index);
}

void velo_name_remove_locked(struct velo_region *region, velo_name_id index)
{
    struct velo_name *name = velo_name_at(region, index);
    if (!velo_is_node(name->parent)) /* taken out already: a wild store leads to it once more */
        return;
    struct velo_node *directory = velo_node_at(region, name->parent);
    struct velo_node *node = velo_node_at(region, name->node);
    unchain_locked(region, velo_name_bucket(region, name->hash), index,
                   offsetof(struct velo_name, next_hash));
    unchain_locked(region, &node->first_name, index, offsetof(struct velo_name, next_of_node));
    if (velo_same_name(directory->first_entry, index))
        velo_set_name(region, &directory->first_entry, name->next_entry);
    else if (velo_is_name(name->previous_entry))
        velo_set_name(region, &velo_name_at(region, name->previous_entry)->next_entry,
                      name->next_entry);
    if (velo_is_name(name->next_entry))
        velo_set_name(region, &velo_name_at(region, name->next_entry)->previous_entry,
                      name->previous_entry);
    velo_set32(region, &node->links, node->links - 1);
    count_entry_locked(region, name->parent, name->node, -1);
    if (node->links == 0 && node->type == VELO_REGULAR && node->state == VELO_BACKED)
        keep_last_locked(region, node, index, name->parent);
    else
        name_slot_free_locked(region, index);
}

int velo_last_name_locked(struct velo_region *region, velo_node_id index, velo_node_id parent,
                          const char *text, size_t length)
{
    const velo_name_id name = name_slot_new_locked(region, text, length);
    if (!velo_is_name(name))
        return -ENOSPC;
    keep_last_locked(region, velo_node_at(region, index), name, parent);
    return 0;
}

void velo_last_name_forget_locked(struct velo_region *region, velo_node_id index)
{
    struct velo_node *node = velo_node_at(region, index);
    if (velo_is_name(node->last_name))
        name_slot_free_locked(region, node->last_name);
    velo_set_name(region, &node->last_name, VELO_NO_NAME);
}
