/* log.c - the log of a step: a file that all of its processes have mapped, and add records to. */
#include "log.h"

#include <sys/mman.h>

#include "kernel/sys.h"
#include "preload/base/raw.h"

struct velo_log *velo_log_map(const char *path)
{
    const int fd = (int)raw_openat(AT_FDCWD, path, O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0);
    if (fd < 0)
        return NULL;
    const long at =
        velo_sys6(SYS_mmap, 0, VELO_LOG_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    raw_close(fd);
    if (at < 0 && at > -4096)
        return NULL;
    struct velo_log *log = (struct velo_log *)(uintptr_t)at;
    if (log->magic == VELO_LOG_MAGIC)
        return log;
    velo_log_unmap(log);
    return NULL;
}

void velo_log_unmap(struct velo_log *log)
{
    velo_sys2(SYS_munmap, velo_word(log), VELO_LOG_BYTES);
}

void velo_log_taint(struct velo_log *log, enum velo_taint reason)
{
    uint32_t none = VELO_TAINT_NONE;
    if (atomic_compare_exchange_strong(&log->taint, &none, reason))
        atomic_store(&log->taint_process, (uint32_t)velo_sys0(SYS_getpid));
}

void velo_log_append(struct velo_log *log, enum velo_record_kind kind, unsigned flags,
                     const void *first, size_t first_length, const void *second,
                     size_t second_length)
{
    const size_t length = first_length + second_length;
    const size_t size = (sizeof(struct velo_record) + length + 7) & ~(size_t)7;
    if (length > VELO_LOG_BYTES) {
        velo_log_taint(log, VELO_TAINT_TOO_MANY);
        return;
    }
    const uint64_t at = atomic_fetch_add(&log->cursor, size);
    if (at + size > VELO_LOG_BYTES) {
        velo_log_taint(log, VELO_TAINT_TOO_MANY);
        return;
    }
    struct velo_record *record = (struct velo_record *)((unsigned char *)log + at);
    record->kind = (uint16_t)kind;
    record->flags = (uint16_t)flags;
    record->process = (uint32_t)velo_sys0(SYS_getpid);
    record->length = (uint32_t)length;
    memcpy(record + 1, first, first_length);
    if (second_length != 0)
        memcpy((unsigned char *)(record + 1) + first_length, second, second_length);
    atomic_store_explicit(&record->size, (uint32_t)size, memory_order_release);
}
