/* aside.c - descriptors that stand in the way of a file that has to leave memory.
 *
 * Only a file that has a single open file description can be led to the disk: only then can the kernel
 * tell that no other process has it (core/disk/relocate.c). So some processes give their descriptors up,
 * flags and offsets remembered, and open the file again when it has moved. Such are a process that opened
 * it twice, and processes that each opened it and all came to a write for which there is no room.
 * A descriptor that shares its description with another process cannot be given up.
 *
 * In    descriptors of one file in memory, of a process with one thread, which is here and does nothing else
 * Out   the same numbers, offsets and flags. A number is never free meanwhile, and the file never without
 *       a descriptor: the number stands for the file's path (O_PATH), which no lease minds
 * Never a file without a name: without an open descriptor it could not be found where it went. So the
 *       table of processes says which of them stand aside (arena/process.c), should the name go meanwhile. */
#include "aside.h"

#include "credits.h"
#include "locks.h"
#include "preload/base/raw.h"
#include "preload/path/claim.h"

/* Opened once more by what a descriptor leads to. */
static long open_again(int fd, int flags)
{
    char link[VELO_FD_PATH_MAX];
    velo_path_of_fd(VELO_SELF, fd, link);
    return raw_openat(AT_FDCWD, link, (flags & ~O_NOFOLLOW) | O_CLOEXEC, 0);
}

static bool is_locked(int fd, char *text, size_t size)
{
    struct velo_locks locks;
    return !velo_locks_of(fd, text, size, &locks) || locks.count > 0;
}

bool velo_same_description(int one, int two)
{
    const long at = velo_sys3(SYS_lseek, one, 0, SEEK_CUR);
    if (at < 0 || velo_sys3(SYS_lseek, two, 0, SEEK_CUR) != at)
        return false;
    velo_sys3(SYS_lseek, one, at + 1, SEEK_SET);
    const bool same = velo_sys3(SYS_lseek, two, 0, SEEK_CUR) == at + 1;
    velo_sys3(SYS_lseek, one, at, SEEK_SET);
    return same;
}

/* Notes `fd`; false when it would not come back as it is. */
static bool remember(struct velo_region *region, velo_node_id node, int fd,
                     struct velo_aside *aside)
{
    const unsigned at = aside->count;
    if (at == VELO_ASIDE_FILES)
        return false;
    unsigned first = 0;
    while (first < at &&
           !(aside->all[first].first == first && velo_same_description(aside->all[first].fd, fd)))
        first++;
    const int flags = (int)velo_sys3(SYS_fcntl, fd, F_GETFL, 0);
    if (first == at) {
        const int trial = velo_reopen(region, node, flags);
        if (trial < 0)
            return false;
        raw_close(trial);
    }
    aside->all[at].fd = fd;
    aside->all[at].flags = flags;
    aside->all[at].first = first;
    aside->all[at].offset = velo_sys3(SYS_lseek, fd, 0, SEEK_CUR);
    aside->count++;
    return true;
}

/* The flags that belong to the descriptor's number stay. */
static void replace(int fd, int by)
{
    const long flags = velo_sys3(SYS_fcntl, fd, F_GETFD, 0);
    velo_sys3(SYS_dup3, by, fd, (flags & FD_CLOEXEC) != 0 ? O_CLOEXEC : 0);
}

static bool has_name(struct velo_region *region, velo_node_id node, uint32_t *generation)
{
    struct velo_snapshot snapshot;
    const bool known = velo_snapshot_take(region, node, &snapshot) == 0;
    *generation = known ? snapshot.generation : 0;
    return known && snapshot.state == VELO_BACKED && snapshot.links > 0;
}

bool velo_step_aside(struct velo_region *region, velo_node_id node, const int *fds, unsigned count,
                     char *text, size_t size, struct velo_aside *aside)
{
    aside->count = 0;
    /* First of all: to close any descriptor of the file would end them. */
    for (unsigned i = 0; i < count; i++)
        if (is_locked(fds[i], text, size))
            return false;
    const long path = count == 0 ? -ENOENT : open_again(fds[0], O_PATH);
    bool good =
        path >= 0 && velo_park(region, node, 1) == 0 && has_name(region, node, &aside->generation);
    for (unsigned i = 0; i < count && good; i++)
        good = remember(region, node, fds[i], aside);
    for (unsigned i = 0; i < count && good; i++)
        replace(fds[i], (int)path);
    if (path >= 0)
        raw_close((int)path);
    if (!good) {
        velo_park(region, VELO_NO_NODE, 0);
        aside->count = 0;
    }
    return good;
}

/* Open the file where it is now. A file whose last name went is still what it was, for the processes that have it.
 * When the file is elsewhere and cannot be opened there, the old bytes are not the file any more. */
static int reopen(struct velo_region *region, velo_node_id node, const struct velo_aside *aside,
                  unsigned at)
{
    struct velo_snapshot now;
    const bool known = velo_snapshot_take(region, node, &now) == 0 &&
                       now.generation == aside->generation && now.links > 0;
    const int fd = known ? velo_reopen(region, node, aside->all[at].flags) : -ENOENT;
    if (fd >= 0 || (known && now.state != VELO_BACKED))
        return fd;
    return (int)open_again(aside->all[at].fd, aside->all[at].flags);
}

void velo_step_back(struct velo_region *region, velo_node_id node, struct velo_aside *aside)
{
    for (unsigned i = 0; i < aside->count; i++) {
        if (aside->all[i].first != i)
            continue;
        const int fd = reopen(region, node, aside, i);
        if (fd < 0)
            continue; /* the program hears of it: what it has is a path */
        velo_sys3(SYS_lseek, fd, aside->all[i].offset, SEEK_SET);
        const bool grows =
            velo_is_in_memory(region, node) && (aside->all[i].flags & O_ACCMODE) != O_RDONLY;
        for (unsigned j = i; j < aside->count; j++)
            if (aside->all[j].first == i) {
                replace(aside->all[j].fd, fd);
                velo_write_credit_set(aside->all[j].fd, grows);
            }
        raw_close(fd);
    }
    if (aside->count > 0)
        velo_park(region, VELO_NO_NODE, 0);
    aside->count = 0;
}
