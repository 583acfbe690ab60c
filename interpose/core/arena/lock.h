/* lock.h - the two locks of an arena, and how a change of the tree is made all-or-nothing.
 *
 * A process may be killed anywhere, also between two stores.  So each store to the tree first
 * notes the old value in the header's undo log.  The next owner that finds notes writes the old
 * values back (newest first) and has a whole tree.  One log suffices because there is one lock.
 *
 * The lock is a futex word of our own and not a robust pthread mutex because the owner may be a
 * vfork child: it shares its parent's pthread_self(), so a robust list would name the wrong thread
 * and survive the child's death.  The word holds the kernel's thread id; a waiter that sees no
 * progress for VELO_LOCK_PATIENCE_NS asks the kernel whether that thread still lives. After
 * some such waits it asks, too, whether that process has the arena mapped: a wild store names others.
 *
 * L1  flush lock (flush) before lock (namespace); no owner of the lock takes the flush lock.
 * L2  all signals are blocked from enter to leave of the namespace lock: no handler of the host
 *     program can run in there and ask for it again.
 * L3  under the namespace lock we wait for nothing but the disk's own metadata: a directory, symlink
 *     or on-disk name is created, renamed, removed or changed on disk in there (name.c, rename.c,
 *     across.c, setattr.c), so that namespace and disk change as one, and rights are lent (rights.c).
 *     disk_step names the directory meanwhile; recovery marks it STALE.  A rename that the disk has
 *     done is done in the namespace by recovery, too. */
#ifndef VELO_CORE_LOCK_H
#define VELO_CORE_LOCK_H

#include "bounds.h"
#include "kernel/proc.h"

#define VELO_LOCK_WAITERS 0x80000000u
#ifndef VELO_LOCK_PATIENCE_NS /* tests that kill owners by the thousand are less patient */
#define VELO_LOCK_PATIENCE_NS 5000000
#endif

struct velo_hold {
    uint64_t signals; /* the mask to restore */
};

/* Take the namespace lock, repairing what a dead owner left. Never fails. */
void velo_begin(struct velo_region *region, struct velo_hold *hold);
/* Make the changes since begin final, or undo them; leave the lock. errno is not touched. */
void velo_commit(struct velo_region *region, struct velo_hold *hold);
void velo_abort(struct velo_region *region, struct velo_hold *hold);
static inline int velo_finish(struct velo_region *region, struct velo_hold *hold, int rc)
{
    if (rc < 0)
        velo_abort(region, hold);
    else
        velo_commit(region, hold);
    return rc;
}

/* The flush lock: held for long (whole flushes), signals stay open. 0, -EAGAIN after timeout_ms, or
 * -EDEADLK when this thread holds it already (a signal handler of the host). */
int velo_flush_lock_take(struct velo_region *region, uint32_t timeout_ms);
void velo_flush_lock_leave(struct velo_region *region);

/* A read without the lock: loop { s = velo_read_begin; ...; } while (velo_read_retry(s)). Begin
 * returns an odd value when a writer is stuck inside: take the lock instead. */
uint64_t velo_read_begin(struct velo_region *region);
static inline int velo_read_retry(struct velo_region *region, uint64_t sequence)
{
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&region->header->sequence, memory_order_relaxed) != sequence;
}

/* Under the lock: readers wait for its end from now on, as from the first change. Called before a step on
 * disk that a watcher hears of: the watcher must not find the namespace as it was. */
void velo_readers_wait(struct velo_region *region);
/* Steps of an end, for recovery: undo what the log holds; readers go on; no step on disk is under way. */
void velo_undo_locked(struct velo_region *region);
void velo_readers_go_on(struct velo_header *header);
void velo_disk_step_over(struct velo_header *header);
/* Stores to the tree, under the lock. */
void velo_note(struct velo_region *region, void *field, uint64_t old, unsigned narrow);

static inline void velo_set32(struct velo_region *region, uint32_t *field, uint32_t value)
{
    if (*field == value)
        return;
    velo_note(region, field, *field, 1);
    __atomic_store_n(field, value, __ATOMIC_RELAXED);
}

static inline void velo_set_node(struct velo_region *region, velo_node_id *field,
                                 velo_node_id value)
{
    velo_set32(region, &field->slot, value.slot);
}

static inline void velo_set_name(struct velo_region *region, velo_name_id *field,
                                 velo_name_id value)
{
    velo_set32(region, &field->slot, value.slot);
}

static inline void velo_set_chunk(struct velo_region *region, velo_chunk_id *field,
                                  velo_chunk_id value)
{
    velo_set32(region, &field->slot, value.slot);
}

static inline void velo_set64(struct velo_region *region, uint64_t *field, uint64_t value)
{
    if (*field == value)
        return;
    velo_note(region, field, *field, 0);
    __atomic_store_n(field, value, __ATOMIC_RELAXED);
}

static inline void velo_set_time(struct velo_region *region, int64_t *field, int64_t value)
{
    velo_set64(region, (uint64_t *)(void *)field, (uint64_t)value);
}

/* Reads of the tree that may race with a writer (and are thrown away when they did). */
#define VELO_READ(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)
#define VELO_READ_ID(field) ((__typeof__(field)){VELO_READ((field).slot)})
/* A store to a slot that no list reaches yet, so undo need not know of it. A reader may still be
 * reading what the slot was before. */
#define VELO_INIT(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)
#define VELO_INIT_ID(field, value)                                                                 \
    do {                                                                                           \
        const __typeof__(field) init_value = (value); /* of the same kind */                       \
        VELO_INIT((field).slot, init_value.slot);                                                  \
    } while (0)

/* Bytes of slots, a word at a time for the same reason (all start on 8 bytes, all have room up to
 * the next 8): memcpy may tear in ways that the memory model has no name for. */
typedef uint64_t __attribute__((may_alias)) velo_slot_word;

/* All but the first 4 bytes, the link of the free list: undo may put the slot back there. */
static inline void velo_slot_wipe(void *slot, size_t size)
{
    velo_slot_word *words = slot;
    uint64_t first = 0;
    __builtin_memcpy(&first, slot, 4);
    VELO_INIT(words[0], first);
    for (size_t i = 1; i < size / 8; i++)
        VELO_INIT(words[i], 0);
}

static inline void velo_slot_write(char *slot, const char *text, size_t length)
{
    velo_slot_word *words = (velo_slot_word *)(void *)slot;
    for (size_t done = 0; done < length; done += 8) {
        uint64_t word = 0;
        __builtin_memcpy(&word, text + done, length - done < 8 ? length - done : 8);
        VELO_INIT(words[done / 8], word);
    }
}

static inline void velo_slot_read(const char *slot, char *out, size_t length)
{
    const velo_slot_word *words = (const velo_slot_word *)(const void *)slot;
    for (size_t done = 0; done < length; done += 8) {
        const uint64_t word = VELO_READ(words[done / 8]);
        __builtin_memcpy(out + done, &word, length - done < 8 ? length - done : 8);
    }
}

static inline int velo_slot_equals(const char *slot, const char *text, size_t length)
{
    const velo_slot_word *words = (const velo_slot_word *)(const void *)slot;
    for (size_t done = 0; done < length; done += 8) {
        const uint64_t word = VELO_READ(words[done / 8]);
        if (__builtin_memcmp(&word, text + done, length - done < 8 ? length - done : 8) != 0)
            return 0;
    }
    return 1;
}

#endif
