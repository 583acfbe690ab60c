/* tether.c - descriptors of directories in which something waits to be put.  See tether.h.
 *
 * Only shards take them (velo_tether): a program's descriptors are its own.  A directory of which one
 * is open keeps its inode number, so no new directory is ever taken for it. */
#include "tether.h"
#include "visitors.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>

#include "core/arena/lock.h"
#include "kernel/os.h"
#include "kernel/text.h"
#include "core/presence/watch.h"
#include "core/tree/path.h"

#define TETHERS_MAX (1u << 20)
#define FDS_LEFT_TO_OTHERS 256u
#define NAMES_A_FILE_MAX 64 /* of one with more, some directories go without */
#define BUSY_WAITS_MAX 2000
#define BUSY_PAUSE_NS 500000

struct tether {
    velo_node_id node;
    uint32_t generation;
    uint64_t inode;
    int fd;
};

/* Of this process. `busy` guards the rest. */
struct velo_tethers {
    _Atomic uint32_t busy;
    uint32_t count, capacity, reserved;
    _Atomic int *watches; /* visitors.h; by descriptor, behind the tethers */
    struct velo_visitors visitors; /* of what a flush waits for */
    struct tether all[];
};

/* `more`: take directories that have no tether; or take all, since a flush must hear of visitors itself. */
enum { FOR_LATER = 1, FOR_A_FLUSH = 2 };
enum { NOT_WANTED = 0, WANTED = 1, TAKEN = 2 }; /* of each node, during one call */

static uint64_t word_of(int fd)
{
    return (uint64_t)velo_sys0(SYS_getpid) << 32 | (uint32_t)fd;
}

/* ---- taken and left -------------------------------------------------------------------------- */

static uint32_t descriptors_allowed(void)
{
    struct rlimit limit;
    if (velo_sys4(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, velo_word(&limit)) != 0 ||
        limit.rlim_cur <= FDS_LEFT_TO_OTHERS)
        return 0;
    const uint64_t count = limit.rlim_cur - FDS_LEFT_TO_OTHERS;
    return count < TETHERS_MAX ? (uint32_t)count : TETHERS_MAX;
}

static struct velo_tethers *tethers_of(struct velo_region *region)
{
    if (region->tethers == NULL) {
        const uint32_t capacity = descriptors_allowed();
        const size_t before = sizeof *region->tethers + (size_t)capacity * sizeof(struct tether);
        unsigned char *memory =
            velo_os_memory(before + (capacity + FDS_LEFT_TO_OTHERS) * sizeof(_Atomic int));
        region->tethers = (struct velo_tethers *)(void *)memory;
        if (memory != NULL) {
            region->tethers->capacity = capacity;
            region->tethers->watches = (_Atomic int *)(void *)(memory + before);
        }
    }
    return region->tethers;
}

/* Two threads of one shard exclude each other; each stays inside until it has opened the new directories. */
static int enter(struct velo_tethers *tethers)
{
    uint32_t idle = 0;
    for (int waits = 0; !atomic_compare_exchange_strong(&tethers->busy, &idle, 1); waits++) {
        if (waits == BUSY_WAITS_MAX)
            return -EBUSY;
        velo_os_pause(BUSY_PAUSE_NS);
        idle = 0;
    }
    return 0;
}

/* Read without the lock: a mark too many, or one too late, costs nothing but a descriptor. */
static void want_directories(const struct velo_region *region, uint8_t *marks, uint32_t used)
{
    for (velo_node_id index = velo_node_from(1); index.slot < used; index.slot++) {
        const struct velo_node *node = velo_node_at(region, index);
        if (VELO_READ(node->type) != VELO_REGULAR || VELO_READ(node->state) == VELO_DISK)
            continue;
        const uint64_t version = VELO_READ(node->version);
        velo_name_id at = VELO_READ_ID(node->first_name);
        for (uint32_t steps = 0; velo_is_name(at) && steps < NAMES_A_FILE_MAX;
             at = velo_next_of_node(region, at, &steps)) {
            const struct velo_name *name = velo_name_at(region, at);
            const velo_node_id parent = VELO_READ_ID(name->parent);
            if (VELO_READ(name->disk_version) != version && parent.slot < used &&
                !velo_is_watched(region, parent)) /* its end is told when no descriptor is open */
                marks[parent.slot] = WANTED;
        }
    }
}

static int watch_of(const struct velo_tethers *tethers, int fd)
{
    return (uint32_t)fd < tethers->capacity + FDS_LEFT_TO_OTHERS ? tethers->watches[fd] : 0;
}

static int is_still_of(const struct velo_region *region, const struct tether *tether)
{
    const struct velo_node *node = velo_node_at(region, tether->node);
    return VELO_READ(node->type) == VELO_DIRECTORY &&
           VELO_READ(node->generation) == tether->generation &&
           VELO_READ(node->identity[VELO_ID_DISK].inode) == tether->inode &&
           atomic_load(&node->tether) == word_of(tether->fd);
}

static void leave_unwanted(struct velo_region *region, struct velo_tethers *tethers, uint8_t *marks,
                           uint32_t used)
{
    for (uint32_t i = 0; i < tethers->count;) {
        const struct tether *tether = &tethers->all[i];
        uint64_t word = word_of(tether->fd);
        if (tether->node.slot < used && marks[tether->node.slot] == WANTED &&
            is_still_of(region, tether)) {
            marks[tether->node.slot] = TAKEN;
            i++;
            continue;
        }
        atomic_compare_exchange_strong(&velo_node_at(region, tether->node)->tether, &word, 0);
        velo_visitors_unwatch(&tethers->visitors, watch_of(tethers, tether->fd));
        velo_os_close(tether->fd);
        tethers->all[i] = tethers->all[--tethers->count];
    }
}

int velo_is_directory_of(const struct velo_region *region, velo_node_id directory, int fd)
{
    const struct velo_identity *identity = &velo_node_at(region, directory)->identity[VELO_ID_DISK];
    struct stat now;
    return velo_os_fstat(fd, &now) == 0 && now.st_ino == VELO_READ(identity->inode) &&
           now.st_dev == VELO_READ(identity->device);
}

/* Opens the directory by its path; or, if it moved along with a directory above that has a tether, from that one. */
static int open_now(struct velo_region *region, velo_node_id directory)
{
    const int flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    char path[PATH_MAX];
    if (velo_path_of(region, directory, path) < 0)
        return -ENOENT;
    int fd = velo_os_open(path, flags, 0);
    if (fd >= 0 && velo_is_directory_of(region, directory, fd))
        return fd;
    if (fd >= 0)
        velo_os_close(fd);
    const int above = velo_tethered(region, VELO_READ_ID(velo_node_at(region, directory)->parent));
    if (above < 0)
        return above;
    size_t name = strlen(path);
    while (path[name - 1] != '/')
        name--;
    fd = velo_os_openat(above, path + name, flags, 0);
    velo_os_close(above);
    if (fd < 0 || velo_is_directory_of(region, directory, fd))
        return fd;
    velo_os_close(fd);
    return -ESTALE;
}

static void take(struct velo_region *region, struct velo_tethers *tethers, velo_node_id directory)
{
    struct velo_node *node = velo_node_at(region, directory);
    const uint32_t generation = VELO_READ(node->generation);
    const int fd = VELO_READ(node->type) == VELO_DIRECTORY ? open_now(region, directory) : -ENOENT;
    if (fd < 0)
        return;
    tethers->all[tethers->count++] =
        (struct tether){directory, generation, VELO_READ(node->identity[VELO_ID_DISK].inode), fd};
    if ((uint32_t)fd < tethers->capacity + FDS_LEFT_TO_OTHERS)
        tethers->watches[fd] = velo_visitors_watch(&tethers->visitors, fd);
    atomic_store(&node->tether, word_of(fd));
}

static int is_tethered(struct velo_region *region, velo_node_id directory)
{
    const int fd = velo_tethered(region, directory);
    if (fd >= 0)
        velo_os_close(fd);
    return fd >= 0;
}

int velo_tether(struct velo_region *region, int more)
{
    const uint32_t used = velo_nodes_used(region);
    struct velo_tethers *tethers = tethers_of(region);
    if (tethers == NULL)
        return -ENOMEM;
    if (!more && tethers->count == 0)
        return 0;
    uint8_t *marks = velo_os_memory(used + 1);
    if (marks == NULL)
        return -ENOMEM;
    const int rc = enter(tethers);
    if (rc == 0) {
        want_directories(region, marks, used);
        leave_unwanted(region, tethers, marks, used);
        for (velo_node_id i = velo_node_from(1);
             more && i.slot < used && tethers->count < tethers->capacity; i.slot++)
            if (marks[i.slot] == WANTED && (more == FOR_A_FLUSH || !is_tethered(region, i)))
                take(region, tethers, i);
        atomic_store(&tethers->busy, 0);
    }
    velo_os_unmap(marks, used + 1);
    return rc;
}

void velo_tether_flush_begins(struct velo_region *region)
{
    if (region->tethers == NULL)
        return;
    velo_tether(region, FOR_A_FLUSH);
    velo_visitors_flush_begins(&region->tethers->visitors);
}

void velo_tether_wait(struct velo_region *region)
{
    if (region->tethers != NULL)
        velo_visitors_wait(&region->tethers->visitors);
}

int velo_tether_naming(struct velo_region *region, velo_node_id directory, const char *name)
{
    struct velo_tethers *tethers = region->tethers;
    if (tethers == NULL)
        return 0;
    const uint64_t word = atomic_load(&velo_node_at(region, directory)->tether);
    const int is_ours = word == word_of((int)(word & INT32_MAX));
    return velo_visitors_naming(&tethers->visitors,
                                is_ours ? watch_of(tethers, (int)(word & INT32_MAX)) : 0, name);
}

int velo_tether_missed(struct velo_region *region)
{
    return region->tethers != NULL && velo_visitors_missed(&region->tethers->visitors);
}

/* ---- used ------------------------------------------------------------------------------------ */

/* "/proc/<pid>/fd/<fd>" */
static void descriptor_path(uint64_t word, char out[16 + 2 * VELO_DECIMAL_MAX])
{
    memcpy(out, "/proc/", 6);
    size_t length = 6 + velo_write_decimal(out + 6, word >> 32);
    memcpy(out + length, "/fd/", 4);
    velo_write_decimal(out + length + 4, word & UINT32_MAX);
}

static int open_word(uint64_t word)
{
    char path[16 + 2 * VELO_DECIMAL_MAX];
    if (word >> 32 == (uint64_t)velo_sys0(SYS_getpid))
        return (int)velo_sys3(SYS_fcntl, (long)(word & UINT32_MAX), F_DUPFD_CLOEXEC, 0);
    descriptor_path(word, path);
    return velo_os_open(path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
}

int velo_tethered(struct velo_region *region, velo_node_id directory)
{
    struct stat now;
    const uint64_t word = atomic_load(&velo_node_at(region, directory)->tether);
    if (word == 0)
        return -ENOENT;
    const int fd = open_word(word);
    if (fd < 0)
        return -ENOENT;
    /* The tether may have been left meanwhile, and the descriptor's number be of another file. */
    const int rc = !velo_is_directory_of(region, directory, fd)        ? -ENOENT
                   : velo_os_fstat(fd, &now) == 0 && now.st_nlink == 0 ? -ESTALE
                                                                       : 0;
    if (rc == 0)
        return fd;
    velo_os_close(fd);
    return rc;
}
