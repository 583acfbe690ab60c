/* mirror.c - a file in memory that follows its copy on disk.
 *
 * A program that is not inside wrote to the copy while a process inside has the file open. On a disk that
 * would be one file, so what is in memory is made equal: block by block, only where it differs, so that
 * a reader never finds it empty.  All under the lock: a process that opens the file to write says so under
 * the lock before the first byte (file.c), so nothing newer is overwritten.  Large files are left alone,
 * since every other process waits for the lock. */
#include "mirror.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "copy.h"
#include "kernel/lease.h"
#include "rights.h"
#include "kernel/os.h"
#include "core/tree/snapshot.h"
#include "core/tree/tree.h"

#define BYTES_MAX (32l << 20)
#define BLOCK_BYTES (64l << 10)

struct blocks { /* mapped: the caller may have a small stack */
    char disk[BLOCK_BYTES], memory[BLOCK_BYTES];
};

static int mirror_bytes(int from, int to, off_t size, struct blocks *b)
{
    for (off_t at = 0; at < size;) {
        const long got = velo_sys4(SYS_pread64, from, velo_word(b->disk), BLOCK_BYTES, at);
        if (got <= 0)
            return got < 0 ? (int)got : -EBUSY;
        const long have = velo_sys4(SYS_pread64, to, velo_word(b->memory), got, at);
        const int equal = have == got && memcmp(b->disk, b->memory, (size_t)got) == 0;
        if (!equal && velo_sys4(SYS_pwrite64, to, velo_word(b->disk), got, at) != got)
            return -ENOSPC;
        at += got;
    }
    return velo_os_ftruncate(to, size);
}

static int mirror_locked(struct velo_region *region, velo_node_id index, int from, int to)
{
    struct velo_node *node = velo_node_at(region, index);
    struct stat disk, memory;
    int rc = velo_os_fstat(from, &disk);
    if (rc == 0 && disk.st_size > BYTES_MAX)
        rc = -EFBIG;
    if (rc != 0)
        return rc;
    struct blocks *blocks = velo_os_memory(sizeof *blocks);
    if (blocks == NULL)
        return -ENOMEM;
    rc = mirror_bytes(from, to, disk.st_size, blocks);
    velo_os_unmap(blocks, sizeof *blocks);
    if (rc == 0)
        rc = velo_copy_attributes(from, to, &disk);
    if (rc == 0)
        rc = velo_os_fstat(to, &memory);
    if (rc != 0)
        return rc;
    velo_dirty_locked(region, index); /* another version, which is on disk already */
    /* Without the undo log, which has no room for many names. Recovery after a kill here finds the
     * version before, of which no name is on disk, so what is in memory is put again. */
    uint32_t steps = 0;
    for (velo_name_id name = node->first_name; velo_is_name(name);
         name = velo_next_of_node(region, name, &steps))
        if (velo_name_at(region, name)->disk_inode == disk.st_ino)
            VELO_INIT(velo_name_at(region, name)->disk_version, node->version);
    velo_names_record_locked(region, index, &disk);
    velo_take_stat_locked(region, index, &disk);
    velo_set64(region, &node->refreshed, node->version);
    velo_set64(region, &node->stored, 0);
    velo_set_time(region, &node->copied_ns, velo_ns(&memory.st_ctim)); /* not the program's */
    velo_charge_set_locked(region, index, (uint64_t)memory.st_blocks * 512);
    velo_program_locked(region, index);
    return 0;
}

/* No process may be writing the file, and what is there must be what was put. */
static int is_quiet(const struct velo_region *region, velo_node_id index,
                    const struct velo_snapshot *snapshot, int fd)
{
    const struct velo_node *node = velo_node_at(region, index);
    return node->generation == snapshot->generation && node->state == VELO_BACKED &&
           node->backing == snapshot->backing && node->version == snapshot->version &&
           velo_on_disk(region, node) && velo_nobody_writes(fd);
}

static int begin_mirror(struct velo_region *region, velo_node_id index,
                        const struct velo_snapshot *snapshot, int from, int fd, const char *path)
{
    struct velo_hold hold;
    velo_begin(region, &hold);
    int rc =
        is_quiet(region, index, snapshot, fd) ? velo_os_open(path, O_RDWR | O_CLOEXEC, 0) : -EBUSY;
    const int to = rc;
    if (to >= 0) {
        rc = mirror_locked(region, index, from, to);
        velo_os_close(to);
    }
    return velo_finish(region, &hold, rc);
}

int velo_mirror_disk(struct velo_region *region, velo_node_id index, int dirfd, const char *text)
{
    struct velo_snapshot snapshot;
    char path[320];
    if (velo_snapshot_take(region, index, &snapshot) != 0 || snapshot.state != VELO_BACKED)
        return -EBUSY;
    const int from = velo_os_openat(dirfd, text, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
    if (from < 0)
        return from;
    velo_backing_path(region, snapshot.backing, path);
    const int fd = velo_open_file_with_rights(region, index, VELO_ID_ARENA, path, O_NONBLOCK);
    const int rc = fd < 0 ? fd : begin_mirror(region, index, &snapshot, from, fd, path);
    if (fd >= 0)
        velo_os_close(fd);
    velo_os_close(from);
    return rc;
}
