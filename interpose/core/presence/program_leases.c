/* program_leases.c - files on which a program holds a lease (F_SETLEASE) or a lock of its own.
 *
 * Leases: if velo opened such a file, it would break the lease, and the program would hear of an opener
 * that is not there.  So the wrapper of fcntl marks the node.  Shards leave a marked file alone until the
 * kernel's table has no such lease any more.
 *
 * Locks: a program outside that locks the same path must meet them, so a file is led to the disk before it
 * is locked (preload/wrap/lock.c). From then on it stays there: the next lock costs nothing. Also, velo
 * never opens and closes the file inside a process that locked it, which would end its POSIX locks. */
#include "kernel/lease.h"

#include <string.h>

#include "core/tree/tree.h"

#define TABLE_BYTES 4096

/* Does a line of /proc/locks tell of a lease on the inode? "1: LEASE ACTIVE READ 77 00:1a:567 0 EOF" */
static int line_tells(const char *line, size_t length, const char *inode)
{
    const char *end = line + length, *lease = memmem(line, length, "LEASE", 5);
    if (lease == NULL)
        return 0;
    const size_t digits = strlen(inode);
    for (const char *at = lease; at + digits + 1 < end; at++)
        if (*at == ':' && memcmp(at + 1, inode, digits) == 0 && at[1 + digits] == ' ')
            return 1;
    return 0;
}

/* 1 when it does, or cannot be read. */
static int table_tells(uint64_t inode)
{
    char digits[VELO_DECIMAL_MAX], text[TABLE_BYTES];
    size_t kept = 0;
    velo_write_decimal(digits, inode);
    const int fd = velo_os_open("/proc/locks", O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return 1;
    int found = 0;
    for (;;) {
        const long got = velo_sys3(SYS_read, fd, velo_word(text + kept), sizeof text - kept);
        const size_t size = kept + (got > 0 ? (size_t)got : 0);
        size_t start = 0;
        for (const char *end; (end = memchr(text + start, '\n', size - start)) != NULL;) {
            const size_t length = (size_t)(end - text) - start;
            found |= line_tells(text + start, length, digits);
            start += length + 1;
        }
        if (got <= 0 || found)
            break;
        kept = start < size && start > 0 ? size - start : 0;
        memmove(text, text + start, kept);
    }
    velo_os_close(fd);
    return found;
}

static void mark(struct velo_region *region, velo_node_id index, uint32_t flag)
{
    struct velo_hold hold;
    velo_begin(region, &hold);
    struct velo_node *node = velo_node_at(region, index);
    if (node->type == VELO_REGULAR)
        velo_set32(region, &node->flags, node->flags | flag);
    velo_commit(region, &hold);
}

void velo_lease_mark(struct velo_region *region, velo_node_id index)
{
    mark(region, index, VELO_NODE_PROGRAM_LEASE);
}

void velo_lock_mark(struct velo_region *region, velo_node_id index)
{
    mark(region, index, VELO_NODE_LOCKED);
}

int velo_is_locked(const struct velo_region *region, velo_node_id index)
{
    return (VELO_READ(velo_node_at(region, index)->flags) & VELO_NODE_LOCKED) != 0;
}

/* A process's POSIX locks of a file end when it closes any descriptor of it: so we must not. */
int velo_keeps_lock(const struct velo_region *region, velo_node_id index)
{
    const uint32_t count = atomic_load_explicit(&region->kept_count, memory_order_acquire);
    if (count > VELO_KEPT_MAX)
        return 1;
    for (uint32_t i = 0; i < count; i++)
        if (velo_same_node(region->kept[i], index))
            return 1;
    return 0;
}

void velo_lock_keep(struct velo_region *region, velo_node_id index)
{
    if (velo_keeps_lock(region, index))
        return;
    const uint32_t at = atomic_fetch_add(&region->kept_count, 1);
    if (at < VELO_KEPT_MAX)
        region->kept[at] = index;
    else
        atomic_store(&region->kept_count, VELO_KEPT_MAX + 1); /* never round to 0 */
}

/* It has no name, and gets none: one that was born without may be given one. */
int velo_is_unlinked(const struct velo_region *region, velo_node_id index)
{
    const struct velo_node *node = velo_node_at(region, index);
    return VELO_READ(node->links) == 0 && (VELO_READ(node->flags) & VELO_NODE_LINKABLE) == 0;
}

static int ends_in(const char *end, size_t length, const char *word, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (length < size || (end[(long)i - (long)size] | 32) != word[i])
            return 0;
    return 1;
}

/* "lock", "LOCK", ".cargo-lock", "db.lck": the last word, in whatever spelling. */
int velo_names_a_lock(const struct velo_place *place)
{
    const size_t length = place->text.name_length;
    const char *end = place->text.name + length;
    size_t word = 0;
    if (ends_in(end, length, "lock", 4))
        word = 4;
    else if (ends_in(end, length, "lck", 3))
        word = 3;
    if (word == 0 || word == length)
        return word != 0;
    const char before = (char)(end[-1 - (long)word] | 32);
    return before < 'a' || before > 'z';
}

int velo_has_program_lease(struct velo_region *region, velo_node_id index)
{
    struct velo_node *node = velo_node_at(region, index);
    if ((VELO_READ(node->flags) & VELO_NODE_PROGRAM_LEASE) == 0)
        return 0;
    if (table_tells(VELO_READ(node->identity[VELO_ID_ARENA].inode)))
        return 1;
    struct velo_hold hold;
    velo_begin(region, &hold);
    velo_set32(region, &node->flags, node->flags & ~(uint32_t)VELO_NODE_PROGRAM_LEASE);
    velo_commit(region, &hold);
    return 0;
}
