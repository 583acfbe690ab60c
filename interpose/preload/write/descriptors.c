/* descriptors.c - the descriptors of this process that lead to one file in memory lead to the disk.
 *
 * In    the numbers, as /proc tells them (relocate.c): all that there are of the file
 * Out   the same numbers, at the same offsets, with the locks that they had
 * Never a part of them: the kernel says whether another process has the file before the first one moves */
#include "descriptors.h"

#include "credits.h"
#include "kernel/os.h"
#include "locks.h"
#include "preload/base/raw.h"

bool velo_descriptors_is_mapped(struct velo_descriptors *s)
{
    const size_t length = strlen(s->file);
    const long fd = raw_openat(AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC, 0);
    bool found = fd < 0;
    size_t kept = 0;
    while (!found) {
        const long got =
            velo_sys3(SYS_read, fd, velo_word(s->maps + kept), sizeof s->maps - 1 - kept);
        if (got <= 0)
            break;
        const size_t have = kept + (size_t)got;
        found = memmem(s->maps, have, s->file, length) != NULL;
        kept = have < length ? have : length; /* the text may lie across two reads */
        memmove(s->maps, s->maps + have - kept, kept);
    }
    if (fd >= 0)
        raw_close((int)fd);
    return found;
}

bool velo_descriptors_note(struct velo_descriptors *s, int fd)
{
    if (s->count + s->paths == VELO_DESCRIPTORS_MAX)
        return false;
    if ((velo_sys3(SYS_fcntl, fd, F_GETFL, 0) & O_PATH) != 0)
        s->ours[VELO_DESCRIPTORS_MAX - ++s->paths] = fd;
    else
        s->ours[s->count++] = fd;
    return true;
}

/* dup3 keeps nothing but the number: its flags and credit are set again. A number that another thread has used for
 * another file meanwhile is left alone. */
static void replace_descriptor(const struct velo_descriptors *s, int fd, int disk)
{
    struct stat now;
    if (raw_fstat(fd, &now) != 0 || now.st_dev != s->device || now.st_ino != s->inode)
        return;
    const long flags = velo_sys3(SYS_fcntl, fd, F_GETFD, 0);
    velo_sys3(SYS_dup3, disk, fd, (flags & FD_CLOEXEC) != 0 ? O_CLOEXEC : 0);
    velo_write_credit_set(fd, 0);
}

/* A descriptor that is a path only (O_PATH) has no offset and no rights to share: it gets its own description. */
static void relocate_path(struct velo_region *region, velo_node_id node, struct velo_descriptors *s,
                          int fd)
{
    const long flags = velo_sys3(SYS_fcntl, fd, F_GETFL, 0) & (O_PATH | O_NOFOLLOW);
    const long disk = velo_path_of(region, node, s->link) < 0
                          ? -ENOENT
                          : raw_openat(AT_FDCWD, s->link, (int)flags | O_CLOEXEC, 0);
    if (disk < 0)
        return;
    replace_descriptor(s, fd, (int)disk);
    raw_close((int)disk);
}

/* Puts the descriptors that share the first one's description first; returns how many they are. */
static unsigned sort_ours(struct velo_descriptors *s)
{
    unsigned same = 1;
    for (unsigned i = 1; i < s->count; i++)
        if (velo_same_description(s->ours[0], s->ours[i])) {
            const int fd = s->ours[i];
            s->ours[i] = s->ours[same];
            s->ours[same++] = fd;
        }
    return same;
}

bool velo_descriptors_aside(struct velo_region *region, velo_node_id node,
                            struct velo_descriptors *s, unsigned from)
{
    return velo_step_aside(region, node, s->ours + from, s->count - from, s->maps, sizeof s->maps,
                           &s->aside);
}

static int relocate_description(struct velo_region *region, velo_node_id node,
                                struct velo_descriptors *s, const struct velo_locks *locks)
{
    struct stat memory;
    if (raw_fstat(s->ours[0], &memory) != 0)
        return -ENOENT;
    s->device = memory.st_dev;
    s->inode = memory.st_ino;
    const int disk = velo_relocate(region, node, s->ours[0]);
    if (disk < 0)
        return disk;
    velo_take_locks(disk, locks, true);
    velo_sys3(SYS_lseek, disk, velo_sys3(SYS_lseek, s->ours[0], 0, SEEK_CUR), SEEK_SET);
    for (unsigned i = 0; i < s->count; i++)
        replace_descriptor(s, s->ours[i], disk);
    for (unsigned i = 1; i <= s->paths; i++)
        relocate_path(region, node, s, s->ours[VELO_DESCRIPTORS_MAX - i]);
    raw_close(disk); /* which ends a process's own locks, so those come last */
    velo_take_locks(s->ours[0], locks, false);
    return 0;
}

/* The descriptors in `s` are all that there are of the file. */
int velo_descriptors_relocate(struct velo_region *region, velo_node_id node,
                              struct velo_descriptors *s)
{
    struct velo_locks locks;
    if (s->count == 0)
        return -ENOENT;
    if (!velo_locks_of(s->ours[0], s->maps, sizeof s->maps, &locks))
        return -ENOSPC;
    const unsigned had = s->count, same = velo_has_one_thread() ? sort_ours(s) : had;
    if (same < had && (locks.count > 0 || !velo_descriptors_aside(region, node, s, same)))
        return -ENOSPC;
    s->count = same;
    const int rc = relocate_description(region, node, s, &locks);
    if (same < had)
        velo_step_back(region, node, &s->aside);
    return rc;
}
