/* credit.c - before a program writes: room for what its file will hold.
 *
 * In    a descriptor with a credit (credit.h), and how much is about to be written
 * Out   its file is charged, in steps; or it goes on at its real path (relocate.c)
 * Never -ENOSPC: a file that is shared or mapped cannot be moved, so it is charged whatever the limit is,
 *       and other files leave memory for it. Whether the disk is full, the kernel says. */
#include <linux/falloc.h>
#include <time.h>

#include "credit.h"
#include "far.h"
#include "preload/base/raw.h"
#include "relocate.h"

/* The node behind a descriptor with a credit and its size, or none and the credit is gone. */
static velo_node_id node_with_credit(int fd, struct stat *stat)
{
    struct velo_region *region = velo_here();
    velo_node_id node = VELO_NO_NODE;
    if (region != NULL && raw_fstat(fd, stat) == 0 && S_ISREG(stat->st_mode))
        node = velo_node_of(region, stat);
    if (!velo_is_node(node))
        velo_write_credit_set(fd, 0);
    return node;
}

/* ---- a file that cannot be moved ------------------------------------------------------------- */

#define STUCK_S 4 /* to find out may take a second or two: then not again for so long */
#define STUCK_MAX 256u

static _Atomic uint64_t stuck[STUCK_MAX]; /* such nodes, and when; the last one of each remainder */

static uint64_t stuck_now(velo_node_id node)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)node.slot << 32 | (uint32_t)(now.tv_sec / STUCK_S);
}

bool velo_is_stuck(velo_node_id node)
{
    return atomic_load(&stuck[node.slot % STUCK_MAX]) == stuck_now(node);
}

void velo_set_stuck(velo_node_id node)
{
    atomic_store(&stuck[node.slot % STUCK_MAX], stuck_now(node));
}

/* True: the file may hold `bytes` in memory. False: it went to its real path. */
static bool find_place(int fd, velo_node_id node, uint64_t bytes)
{
    struct velo_region *region = velo_here();
    if (bytes <= velo_charged(region, node))
        return true;
    if (!velo_is_stuck(node) || velo_first_parked(region, node) != 0) {
        if (velo_charge(region, node, bytes) == 0)
            return true;
        if (velo_relocate_descriptor(fd, node) == 0)
            return false;
        velo_set_stuck(node);
    }
    velo_charge_anyway(region, node, bytes);
    return true;
}

/* ---- before a write -------------------------------------------------------------------------- */

/* The bytes that the file holds at most after a write of `count` bytes at `start`. An overwrite is charged too much,
 * until a shard settles the file; a hole takes nothing. */
static uint64_t held_after(const struct stat *stat, uint64_t start, size_t count)
{
    const uint64_t size = (uint64_t)stat->st_size,
                   end = start + count > size ? start + count : size;
    const uint64_t held = (uint64_t)stat->st_blocks * 512 + count;
    return held < end ? held : end;
}

static bool is_beyond_disks(int fd, off_t offset)
{
    return (offset < 0 ? velo_sys3(SYS_lseek, fd, 0, SEEK_CUR) : offset) > VELO_FAR_BYTES;
}

void velo_write_credit_charge_at(int fd, size_t count, off_t offset)
{
    const uint32_t credit = velo_write_credit(fd) - 1;
    if (count <= credit && offset <= VELO_FAR_BYTES) {
        velo_write_credit_set(fd, credit - (uint32_t)count + 1);
        return;
    }
    struct stat stat;
    const velo_node_id node = node_with_credit(fd, &stat);
    if (!velo_is_node(node))
        return;
    if (is_beyond_disks(fd, offset) && velo_relocate_descriptor(fd, node) == 0)
        return;
    const uint64_t size = (uint64_t)stat.st_size;
    const uint64_t start = offset < 0 || offset > INT64_MAX / 2 ? size : (uint64_t)offset;
    const uint64_t bytes = held_after(&stat, start, count);
    if (bytes == 0 || !find_place(fd, node, bytes))
        return;
    const uint64_t charged = velo_charged(velo_here(), node);
    const uint64_t ahead = charged > bytes ? charged - bytes : 0;
    velo_write_credit_set(fd, 1 + (uint32_t)(ahead < VELO_CHARGE_STEP ? ahead : VELO_CHARGE_STEP));
}

void velo_write_credit_charge(int fd, size_t count)
{
    velo_write_credit_charge_at(fd, count, VELO_AT_THE_END);
}

void velo_write_credit_allocate(int fd, uint64_t offset, uint64_t length)
{
    struct stat stat;
    const velo_node_id node = node_with_credit(fd, &stat);
    if (velo_is_node(node))
        find_place(fd, node, held_after(&stat, offset, length));
}

/* Charged if it can be: the bytes that the file gains are a hole, which takes nothing until it is written. That may
 * happen through a map, where velo does not see it. */
void velo_write_credit_charge_to(int fd, uint64_t end)
{
    struct stat stat;
    const velo_node_id node = node_with_credit(fd, &stat);
    if (velo_is_node(node) && end > (uint64_t)stat.st_size && !velo_is_stuck(node) &&
        velo_charge(velo_here(), node, end) != 0 && velo_relocate_descriptor(fd, node) != 0)
        velo_set_stuck(node);
}

/* ---- the kernel says ENOSPC ------------------------------------------------------------------ */

bool velo_find_room(int fd, size_t count)
{
    struct stat stat;
    struct velo_region *region = velo_here();
    const velo_node_id node = node_with_credit(fd, &stat);
    struct velo_snapshot snapshot;
    if (!velo_is_node(node) || velo_snapshot_take(region, node, &snapshot) != 0 ||
        snapshot.state != VELO_BACKED)
        return false;
    if (velo_relocate_descriptor(fd, node) == 0)
        return true;
    return region->ask != NULL &&
           region->ask(region, VELO_ASK_SPACE, snapshot.home, count + VELO_CHARGE_STEP) == 0;
}

/* tmpfs gives pages when they are first touched, and a program that touches one through a map when there is
 * none is killed. So where memory is tight a file that is made longer gets them now, or goes to disk. */
void velo_write_credit_commit(int fd, uint64_t end)
{
    struct stat stat;
    if (velo_here() == NULL || !velo_is_tight(velo_here()))
        return;
    const velo_node_id node = node_with_credit(fd, &stat);
    const off_t size = stat.st_size;
    if (velo_is_node(node) && end > (uint64_t)size &&
        velo_sys4(SYS_fallocate, fd, FALLOC_FL_KEEP_SIZE, size, (off_t)end - size) == -ENOSPC)
        velo_relocate_descriptor(fd, node);
}

bool velo_write_again(int fd, size_t count, int saved)
{
    if (errno != ENOSPC || !velo_find_room(fd, count))
        return false;
    errno = saved;
    return true;
}
