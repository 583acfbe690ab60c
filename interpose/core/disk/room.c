/* room.c - what the arena's file system can hold: others fill it, too, and in a container it is small.
 *
 * `max_memory` was made to fit when the arena was made.  A process that wants space asks the kernel
 * again, at most every ROOM_NS over all processes.  The answer is in the header for the others.
 * A reserve stays free: names grow into it, and so do writes that come before the next question. */
#include "core/tree/tree.h"

#include <sys/vfs.h>

#include "kernel/os.h"
#include "core/tree/stamps.h"

#define ROOM_NS 10000000
#define RESERVE_SHARE 16u
#define RESERVE_BYTES_MAX (64ull << 20)
#define FILES_LEAST 32u /* inodes: a process that creates takes one, and a second for a moment */

static uint64_t reserve(const struct statfs *found)
{
    const uint64_t share = (uint64_t)found->f_blocks * (uint64_t)found->f_bsize / RESERVE_SHARE;
    return share < RESERVE_BYTES_MAX ? share : RESERVE_BYTES_MAX;
}

static int ask(const struct velo_region *region, struct statfs *found)
{
    return (int)velo_sys2(SYS_statfs, velo_word(region->directory), velo_word(found));
}

/* All that we may have: what we have, and what is left without the reserve. */
static uint64_t room(const struct velo_region *region)
{
    struct statfs found;
    const uint64_t used = velo_used_bytes(region), max = region->header->max_memory_bytes;
    if (ask(region, &found) != 0 || found.f_blocks == 0) /* out of sight, or without a limit */
        return max;
    if (found.f_files != 0 && found.f_ffree < FILES_LEAST)
        return used - used / 8; /* files have to leave; how large they are is no matter */
    const uint64_t all = used + (uint64_t)found.f_bavail * (uint64_t)found.f_bsize;
    const uint64_t kept = reserve(&found);
    return all < kept ? 0 : all - kept < max ? all - kept : max;
}

uint64_t velo_limit_bytes(const struct velo_region *region)
{
    struct velo_header *header = region->header;
    const int64_t now = velo_clock_ns(CLOCK_MONOTONIC_COARSE);
    int64_t asked = atomic_load_explicit(&header->room_ns, memory_order_relaxed);
    /* One of the processes that find it old asks; what the others read meanwhile was true just now. */
    if (now - asked >= ROOM_NS && atomic_compare_exchange_strong(&header->room_ns, &asked, now))
        atomic_store_explicit(&header->room_bytes, room(region), memory_order_relaxed);
    return atomic_load_explicit(&header->room_bytes, memory_order_relaxed);
}

int velo_is_tight(const struct velo_region *region)
{
    return velo_limit_bytes(region) < region->header->max_memory_bytes;
}

int velo_is_full(const struct velo_region *region)
{
    struct statfs found;
    return ask(region, &found) == 0 && found.f_blocks != 0 &&
           (uint64_t)found.f_bavail * (uint64_t)found.f_bsize < VELO_CHARGE_STEP;
}
