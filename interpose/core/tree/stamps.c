/* stamps.c - times to give, in one order with the kernel's.  See stamps.h. */
#include "stamps.h"

#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "kernel/os.h"
#include "kernel/text.h"

static int kernel_clock(clockid_t clock, struct timespec *now)
{
    return (int)velo_sys2(SYS_clock_gettime, clock, velo_word(now));
}
int (*velo_clock)(clockid_t, struct timespec *) = kernel_clock;

void velo_raise_floor(struct velo_region *region, int64_t ns)
{
    _Atomic int64_t *floor = &region->header->time_floor_ns;
    int64_t seen = atomic_load_explicit(floor, memory_order_relaxed);
    while (ns > seen && !atomic_compare_exchange_weak_explicit(
                            floor, &seen, ns, memory_order_relaxed, memory_order_relaxed)) {
    }
}

/* A time from the kernel itself. Since 6.13 the kernel gives a file that was looked at a stamp later than all
 * stamps before, and only the kernel knows that stamp. */
static int64_t kernel_stamp(struct velo_region *region)
{
    char path[sizeof region->directory + 8];
    strcpy(stpcpy(path, region->directory), "/clock");
    struct stat stat;
    /* The last call here looked at the file: its lstat did. */
    if (velo_os_utimensat(AT_FDCWD, path, NULL, 0) != 0 || velo_os_lstat(path, &stat) != 0)
        return 0;
    return velo_ns(&stat.st_mtim);
}

int64_t velo_stamp(struct velo_region *region, int fine)
{
    struct timespec now;
    velo_clock(CLOCK_REALTIME_COARSE, &now);
    int64_t stamp = velo_ns(&now);
    const int64_t floor =
        atomic_load_explicit(&region->header->time_floor_ns, memory_order_relaxed);
    if (floor > stamp &&
        floor - stamp < 1000000000) /* more than 1 s ahead: the clock was set back */
        stamp = floor;
    if (fine) {
        int64_t kernel = kernel_stamp(region);
        if (kernel <= stamp) /* no call had looked at the file "clock" before: now one has */
            kernel = kernel_stamp(region);
        if (kernel > stamp)
            stamp = kernel;
        velo_raise_floor(region, stamp);
    }
    return stamp;
}

int64_t velo_ctime_of(const struct velo_node *node, int64_t kernel_ns)
{
    const int64_t ours = VELO_READ(node->ctime_ns);
    return kernel_ns == VELO_READ(node->copied_ns) || ours > kernel_ns ? ours : kernel_ns;
}

void velo_touch_locked(struct velo_region *region, velo_node_id index)
{
    struct velo_node *directory = velo_node_at(region, index);
    const int64_t now = velo_stamp(region, (directory->flags & VELO_NODE_QUERIED) != 0);
    velo_set_time(region, &directory->mtime_ns, now);
    velo_set_time(region, &directory->ctime_ns, now);
    velo_set32(region, &directory->flags,
               (directory->flags | VELO_NODE_TIMES) & ~(uint32_t)VELO_NODE_QUERIED);
}
