/* region.c - making, mapping and leaving an arena; the tables of processes and of names of programs.
 *
 * The meta file is sparse: tmpfs gives a page when one is committed.  It is created under another
 * name and renamed when whole, so an attach never sees half an arena. */
#include "region.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "node.h"
#include "kernel/os.h"
#include "kernel/text.h"
#include "trace.h"

#define NODES_MIN 32768u
#define NODES_MAX (1u << 20)
#define BYTES_PER_NODE                                                                             \
    1024u /* of max_memory. The tables take 8 bytes for each, pages of slots are
                              * taken as they are needed */
#define CHUNKS_PER_NODE 4u /* a long name takes that many */

uint64_t velo_layout_hash(void)
{
    /* Everything whose change makes two builds misread each other. */
    static const uint64_t facts[] = {
        VELO_VERSION,
        sizeof(struct velo_header),
        sizeof(struct velo_node),
        sizeof(struct velo_name),
        sizeof(struct velo_chunk),
        sizeof(struct velo_root),
        offsetof(struct velo_header, lock),
        offsetof(struct velo_header, undo_log),
        offsetof(struct velo_header, nodes),
        offsetof(struct velo_header, roots),
        offsetof(struct velo_header, slices),
        offsetof(struct velo_header, processes),
        offsetof(struct velo_header, opaque),
        offsetof(struct velo_header, profiles),
        offsetof(struct velo_header, events),
        VELO_EVENT_COUNT,
        offsetof(struct velo_node, version),
        offsetof(struct velo_node, identity),
        offsetof(struct velo_node, digest),
        offsetof(struct velo_name, disk_version),
        offsetof(struct velo_name, text),
        VELO_MAGIC,
    };
    uint64_t hash = 0;
    for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++)
        hash = (hash ^ facts[i]) * 0x9e3779b97f4a7c15ull + (hash >> 31);
    return hash;
}

static int join(char *out, size_t size, const char *directory, const char *tail)
{
    const size_t length = strlen(directory), rest = strlen(tail);
    if (length + rest + 1 > size)
        return -ENAMETOOLONG;
    memcpy(out, directory, length);
    memcpy(out + length, tail, rest + 1);
    return 0;
}

static uint64_t pid_namespace(void)
{
    struct stat stat;
    const long rc =
        velo_sys4(SYS_newfstatat, AT_FDCWD, velo_word("/proc/self/ns/pid"), velo_word(&stat), 0);
    return rc == 0 ? stat.st_ino : 0;
}

/* ---- creation -------------------------------------------------------------------------------- */

static uint32_t node_capacity(uint64_t max_memory_bytes)
{
    uint64_t wanted = max_memory_bytes / BYTES_PER_NODE;
    uint32_t capacity = NODES_MIN;
    while (capacity < wanted && capacity < NODES_MAX)
        capacity *= 2;
    return capacity;
}

static uint64_t pool_lay(struct velo_pool *pool, uint64_t offset, uint32_t slot_bytes,
                         uint32_t capacity)
{
    pool->offset = offset;
    pool->slot_bytes = slot_bytes;
    pool->capacity = capacity;
    pool->used = 1; /* slot 0 is "none" */
    return (offset + (uint64_t)slot_bytes * capacity + 4095) & ~4095ull;
}

static void lay_out(struct velo_header *header, uint64_t max_memory_bytes)
{
    const uint32_t capacity = node_capacity(max_memory_bytes);
    uint64_t offset = (sizeof *header + 4095) & ~4095ull;
    header->name_table_offset = offset;
    header->name_table_size = capacity;
    offset += (uint64_t)capacity * sizeof(uint32_t);
    header->identity_table_offset = offset;
    header->identity_table_size = capacity;
    offset += (uint64_t)capacity * sizeof(uint32_t);
    header->fixed_bytes = offset;
    offset = pool_lay(&header->nodes, offset, sizeof(struct velo_node), capacity);
    offset = pool_lay(&header->names, offset, sizeof(struct velo_name), capacity + capacity / 4);
    header->size_bytes =
        pool_lay(&header->chunks, offset, sizeof(struct velo_chunk), CHUNKS_PER_NODE * capacity);
}

static int copy_text(char *out, size_t size, const char *text)
{
    const size_t length = strlen(text);
    if (length >= size)
        return -ENAMETOOLONG;
    memcpy(out, text, length + 1);
    return (int)length;
}

static int take_pattern(struct velo_header *header, uint32_t index, const char *text)
{
    size_t length = strlen(text);
    const int absolute_below = text[0] == '/' && length > 1;
    while (length > 0 && text[length - 1] == '/')
        length--;
    if (length == 0)
        return -EINVAL;
    /* "/out/" is anchored at the workspace unless such an absolute directory was meant: more than
     * one component means a whole path (config.py writes it so). */
    const int absolute = absolute_below && memchr(text + 1, '/', length - 1) != NULL;
    const size_t skip = text[0] == '/' && !absolute;
    if (length - skip >= sizeof header->patterns[0].text)
        return -ENAMETOOLONG;
    /* Else no directory of that name would be hosted, and no message would say so (root.c). */
    if (!absolute && header->workspace_length + 1 + length - skip >= sizeof header->roots->path)
        return -ENAMETOOLONG;
    memcpy(header->patterns[index].text, text + skip, length - skip);
    header->patterns[index].length = (uint16_t)(length - skip);
    header->patterns[index].absolute = (uint8_t)absolute;
    header->patterns[index].anchored =
        (uint8_t)(skip || (!absolute && memchr(text, '/', length) != NULL));
    return 0;
}

static int take_options(struct velo_header *header, const struct velo_options *options)
{
    if (options->shard_count == 0 || options->shard_count > VELO_SHARDS_MAX ||
        options->pattern_count > VELO_PATTERNS_MAX || options->workspace[0] != '/')
        return -EINVAL;
    int length = copy_text(header->workspace, sizeof header->workspace, options->workspace);
    if (length < 0)
        return length;
    header->workspace_length = (uint16_t)length;
    if (options->alias != NULL) {
        length = copy_text(header->alias, sizeof header->alias, options->alias);
        if (length < 0)
            return length;
        header->alias_length = (uint16_t)length;
    }
    length = copy_text(header->socket, sizeof header->socket, options->socket);
    for (uint32_t i = 0; length >= 0 && i < options->pattern_count; i++)
        length = take_pattern(header, i, options->patterns[i]);
    header->pattern_count = options->pattern_count;
    header->shard_count = options->shard_count;
    header->max_memory_bytes = options->max_memory_bytes;
    header->room_bytes = options->max_memory_bytes;
    header->poison = options->poison != 0;
    for (uint32_t i = 0; i < options->shard_count; i++)
        header->slices[i].limit_bytes = options->max_memory_bytes / options->shard_count;
    return length < 0 ? length : 0;
}

/* What lies beside the table since before; a link leads to another file system. */
static uint64_t library_bytes(const char *directory)
{
    char path[300];
    struct stat stat;
    if (join(path, sizeof path, directory, "/libvelo.so") != 0 || velo_os_lstat(path, &stat) != 0)
        return 0;
    return (uint64_t)stat.st_blocks * 512;
}

static int fill(int fd, const char *directory, const struct velo_options *options)
{
    static struct velo_header plan; /* too large for a stack; one arena is made at a time */
    memset(&plan, 0, sizeof plan);
    lay_out(&plan, options->max_memory_bytes);
    int rc = velo_os_ftruncate(fd, (off_t)plan.size_bytes);
    if (rc == 0)
        rc = velo_os_fallocate(fd, 0, (off_t)plan.fixed_bytes);
    if (rc != 0)
        return rc;
    void *base = mmap(NULL, plan.fixed_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED)
        return -errno;
    struct velo_header *header = base;
    lay_out(header, options->max_memory_bytes);
    header->magic = VELO_MAGIC;
    header->version = VELO_VERSION;
    header->layout_hash = velo_layout_hash();
    header->pid_namespace = pid_namespace();
    struct stat stat = {0};
    rc = velo_os_fstat(fd, &stat);
    header->arena_device = stat.st_dev;
    header->library_bytes = library_bytes(directory);
    if (rc == 0)
        rc = take_options(header, options);
    header->ready = 1;
    munmap(base, plan.fixed_bytes);
    return rc;
}

int velo_region_create(const char *directory, const struct velo_options *options)
{
    char path[300], temporary[300];
    int rc = join(path, sizeof path, directory, "/i");
    if (rc != 0)
        return rc;
    rc = velo_os_mkdir(path, 0777);
    if (rc != 0 && rc != -EEXIST)
        return rc;
    velo_os_chmod(path, 01777); /* below a 0700 root: for programs that change their user */
    join(path, sizeof path, directory, "/clock");
    const int clock = velo_os_open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0666);
    if (clock < 0)
        return clock;
    velo_os_fchmod(clock, 0666);
    velo_os_close(clock);
    join(temporary, sizeof temporary, directory, "/meta.new");
    join(path, sizeof path, directory, "/meta");
    const int fd = velo_os_open(temporary, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        return fd;
    rc = fill(fd, directory, options);
    if (rc == 0)
        rc = velo_os_fchmod(fd, 0666); /* below a 0700 root, as above */
    velo_os_close(fd);
    if (rc == 0)
        rc = velo_os_renameat(AT_FDCWD, temporary, AT_FDCWD, path, 1 /* NOREPLACE */);
    if (rc != 0)
        velo_os_unlink(temporary);
    return rc;
}

/* ---- attach ---------------------------------------------------------------------------------- */

static int check_header(const struct velo_header *header, uint64_t file_bytes)
{
    if (header->magic != VELO_MAGIC || header->ready != 1)
        return -EINVAL;
    if (header->version != VELO_VERSION || header->layout_hash != velo_layout_hash() ||
        header->size_bytes != file_bytes)
        return -EPROTO;
    if (header->pid_namespace != pid_namespace())
        return -EXDEV;
    return 0;
}

/* Where a table is said to be, and for good: within the file. */
static int table_set(struct velo_table *table, uint64_t offset, uint32_t count, uint32_t slot_bytes,
                     uint64_t size_bytes)
{
    *table = (struct velo_table){offset, count, slot_bytes};
    return count != 0 && offset % 4096 == 0 && offset >= sizeof(struct velo_header) &&
           offset < size_bytes && count <= (size_bytes - offset) / slot_bytes;
}

static int heads_set(struct velo_table *table, uint64_t offset, uint32_t count, uint64_t size_bytes)
{
    return table_set(table, offset, count, sizeof(uint32_t), size_bytes) &&
           (count & (count - 1)) == 0;
}

static int tables_set(struct velo_region *r, const struct velo_header *h, uint64_t size)
{
    const int whole =
        table_set(&r->nodes, h->nodes.offset, h->nodes.capacity, sizeof(struct velo_node), size) &&
        table_set(&r->names, h->names.offset, h->names.capacity, sizeof(struct velo_name), size) &&
        table_set(&r->chunks, h->chunks.offset, h->chunks.capacity, sizeof(struct velo_chunk),
                  size) &&
        heads_set(&r->name_heads, h->name_table_offset, h->name_table_size, size) &&
        heads_set(&r->identity_heads, h->identity_table_offset, h->identity_table_size, size);
    r->shard_count = h->shard_count;
    return whole && r->shard_count != 0 && r->shard_count <= VELO_SHARDS_MAX ? 0 : -EUCLEAN;
}

int velo_region_map(struct velo_region *region, const char *directory)
{
    char path[300];
    memset(region, 0, sizeof *region);
    int rc = join(path, sizeof path, directory, "/meta");
    if (rc != 0 || (rc = copy_text(region->directory, sizeof region->directory, directory)) < 0)
        return rc;
    const int fd = velo_os_open(path, O_RDWR | O_CLOEXEC, 0);
    if (fd < 0)
        return fd;
    struct stat stat;
    rc = velo_os_fstat(fd, &stat);
    if (rc == 0 && (uint64_t)stat.st_size < sizeof(struct velo_header))
        rc = -EINVAL;
    if (rc != 0) {
        velo_os_close(fd);
        return rc;
    }
    const size_t size = (size_t)stat.st_size;
    const long base = velo_sys6(SYS_mmap, 0, (long)size, PROT_READ | PROT_WRITE,
                                MAP_SHARED | MAP_NORESERVE, fd, 0);
    velo_os_close(fd);
    if (base < 0 && base > -4096)
        return (int)base;
    region->base = (unsigned char *)base;
    rc = check_header((struct velo_header *)(void *)region->base, size);
    if (rc == 0)
        rc = tables_set(region, (struct velo_header *)(void *)region->base, size);
    if (rc != 0) {
        velo_sys2(SYS_munmap, base, (long)size);
        region->base = NULL;
        return rc;
    }
    velo_sys3(SYS_madvise, base, (long)size, MADV_DONTDUMP);
    region->size_bytes = size;
    region->process_index = VELO_NO_PROCESS;
    region->header = (struct velo_header *)(void *)region->base;
    return 0;
}

int velo_region_reopen(const struct velo_region *region)
{
    char path[300];
    const int rc = join(path, sizeof path, region->directory, "/meta");
    return rc != 0 ? rc : velo_os_open(path, O_RDONLY | O_CLOEXEC, 0);
}

void velo_region_part(struct velo_region *region, int fd)
{
    velo_sys6(SYS_mmap, velo_word(region->base), (long)region->size_bytes, PROT_READ | PROT_WRITE,
              MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, fd, 0);
    velo_sys3(SYS_madvise, velo_word(region->base), (long)region->size_bytes, MADV_DONTDUMP);
}

void velo_region_detach(struct velo_region *region)
{
    if (region->base != NULL)
        velo_sys2(SYS_munmap, velo_word(region->base), (long)region->size_bytes);
    memset(region, 0, sizeof *region);
}

void velo_escape(struct velo_region *region, enum velo_escape reason)
{
    if (reason < VELO_ESCAPE_COUNT)
        atomic_fetch_add_explicit(&region->header->escapes[reason], 1, memory_order_relaxed);
    VELO_TRACE(region, ESCAPED, reason, 0);
}

void velo_pause(struct velo_region *region, int paused)
{
    atomic_store(&region->header->paused, paused != 0);
}
