/* index.c - finding entries by key.
 *
 * Other processes write the file while this one reads it. The file is trusted only when it belongs to our user, as the
 * server that writes it does; all offsets are compared with its length all the same. */
#include "index.h"

#include <sys/mman.h>

#include "log.h"
#include "preload/base/raw.h"

#define CHAIN_MAX 100000u /* entries of one bucket: a circle ends there */

static const struct velo_index *_Atomic mapped;

const struct velo_index *velo_index_there(void)
{
    const struct velo_index *there = atomic_load(&mapped);
    if (there != NULL)
        return there;
    char path[sizeof velo_the_region.directory + 16];
    strcpy(stpcpy(path, velo_the_region.directory), VELO_LOG_DIRECTORY "/index");
    struct stat stat = {0};
    const int fd = (int)raw_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0);
    long at = -1;
    if (fd >= 0 && raw_fstat(fd, &stat) == 0 && stat.st_uid == (uid_t)velo_sys0(SYS_geteuid) &&
        stat.st_size == VELO_INDEX_BYTES)
        at = velo_sys6(SYS_mmap, 0, VELO_INDEX_BYTES, PROT_READ, MAP_SHARED, fd, 0);
    if (fd >= 0)
        raw_close(fd);
    if (at < 0 && at > -4096)
        return NULL;
    const struct velo_index *index = (const struct velo_index *)(uintptr_t)at, *none = NULL;
    if (index->magic == VELO_INDEX_MAGIC && atomic_compare_exchange_strong(&mapped, &none, index))
        return index;
    velo_sys2(SYS_munmap, at, VELO_INDEX_BYTES);
    return none;
}

uint32_t velo_index_offset(const struct velo_entry *entry)
{
    const unsigned char *start = (const unsigned char *)velo_index_there();
    return (uint32_t)(((const unsigned char *)entry - start) / 8);
}

static bool is_inside(uint32_t offset, uint64_t count, size_t size)
{
    return (uint64_t)offset * 8 + count * size <= VELO_INDEX_BYTES;
}

static bool groups_are_inside(const struct velo_index *index, const struct velo_entry *entry)
{
    if (!is_inside(entry->groups, entry->group_count, sizeof(uint32_t)))
        return false;
    const uint32_t *offsets = velo_index_at(index, entry->groups);
    for (uint32_t i = 0; i < entry->group_count; i++) {
        const struct velo_group *group = velo_index_at(index, offsets[i]);
        if (!is_inside(offsets[i], 1, sizeof *group) ||
            !is_inside(offsets[i], 1, sizeof *group + group->count * sizeof group->facts[0]))
            return false;
    }
    return true;
}

bool velo_index_holds(const struct velo_index *index, const struct velo_entry *entry)
{
    return groups_are_inside(index, entry) &&
           is_inside(entry->outputs, entry->output_count, sizeof(struct velo_output)) &&
           is_inside(entry->text, entry->text_size, 1) &&
           is_inside(entry->errors, entry->errors_size, 1);
}

static const struct velo_entry *entry_at(const struct velo_index *index, uint32_t offset)
{
    const uint64_t end = (uint64_t)offset * 8 + sizeof(struct velo_entry);
    return offset == 0 || end > VELO_INDEX_BYTES ? NULL : velo_index_at(index, offset);
}

const struct velo_entry *velo_index_find(const struct velo_index *index,
                                         const uint8_t key[VELO_SHA256_BYTES],
                                         const struct velo_entry *before)
{
    uint32_t hash;
    memcpy(&hash, key, sizeof hash);
    const _Atomic uint32_t *buckets =
        (const _Atomic uint32_t *)velo_index_at(index, index->buckets);
    const uint32_t first =
        before != NULL
            ? before->next
            : atomic_load_explicit(&buckets[hash % index->bucket_count], memory_order_acquire);
    const struct velo_entry *entry = entry_at(index, first);
    for (uint32_t steps = 0; entry != NULL; steps++) {
        if (memcmp(entry->key, key, VELO_SHA256_BYTES) == 0)
            return entry;
        entry = steps < CHAIN_MAX ? entry_at(index, entry->next) : NULL;
    }
    return NULL;
}
