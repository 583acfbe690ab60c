/* loosen.c - giving ourselves the right to write to a directory, for one step.  See loosen.h. */
#include "loosen.h"

#include <errno.h>
#include <fcntl.h>

#include "lock.h"
#include "os.h"
#include "tree.h"

#define OWNERS_RIGHTS 0300

struct step {
    int dirfd;
    const char *name, *other;
};

static int create(const struct step *s)
{
    return velo_os_openat(s->dirfd, s->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
}

static int remove_name(const struct step *s)
{
    return velo_os_unlinkat(s->dirfd, s->name, 0);
}

static int rename_name(const struct step *s)
{
    return velo_os_renameat(s->dirfd, s->name, s->dirfd, s->other, 0);
}

static int link_path(const struct step *s)
{
    return velo_os_linkat(AT_FDCWD, s->other, s->dirfd, s->name, 0);
}

static int loosely(struct velo_region *region, uint32_t directory,
                   int (*do_it)(const struct step *), const struct step *s)
{
    int rc = do_it(s);
    if (rc != -EACCES)
        return rc;
    char path[PATH_MAX];
    struct velo_hold hold;
    velo_begin(region, &hold);
    const struct velo_node *node = velo_node_at(region, directory);
    const mode_t mode = node->mode & 07777;
    if (node->type == VELO_DIRECTORY && (mode & OWNERS_RIGHTS) != OWNERS_RIGHTS &&
        velo_directory_path(region, directory, path) > 0) {
        atomic_store(&region->header->loosened, directory);
        if (velo_os_chmod(path, mode | OWNERS_RIGHTS) == 0) {
            rc = do_it(s);
            velo_os_chmod(path, mode);
        }
        atomic_store(&region->header->loosened, 0);
    }
    velo_commit(region, &hold);
    return rc;
}

int velo_loose_create(struct velo_region *region, uint32_t directory, int dirfd, const char *name)
{
    return loosely(region, directory, create, &(struct step){dirfd, name, NULL});
}

int velo_loose_unlink(struct velo_region *region, uint32_t directory, int dirfd, const char *name)
{
    return loosely(region, directory, remove_name, &(struct step){dirfd, name, NULL});
}

int velo_loose_rename(struct velo_region *region, uint32_t directory, int dirfd, const char *from,
                      const char *to)
{
    return loosely(region, directory, rename_name, &(struct step){dirfd, from, to});
}

int velo_loose_link(struct velo_region *region, uint32_t directory, const char *path, int dirfd,
                    const char *name)
{
    return loosely(region, directory, link_path, &(struct step){dirfd, name, path});
}

/* ---- files ----------------------------------------------------------------------------------- */

#define OWNER_READS 0400

/* The two chmods moved the kernel's ctime; what is shown of the file did not change. */
static void keep_ctime_locked(struct velo_region *region, uint32_t index, unsigned which,
                              int64_t shown_ns, const struct stat *now)
{
    struct velo_node *node = velo_node_at(region, index);
    velo_set_time(region, &node->ctime_ns, shown_ns);
    velo_set_time(region, &node->copied_ns, velo_ns(&now->st_ctim));
    if (which == VELO_ID_DISK)
        velo_names_seen_locked(region, index, now);
}

static int open_unreadable_locked(struct velo_region *region, uint32_t index, unsigned which,
                                  const char *path, int flags)
{
    const struct velo_node *node = velo_node_at(region, index);
    const struct velo_identity *identity = &node->identity[which];
    struct stat stat;
    if (node->type != VELO_REGULAR || velo_os_lstat(path, &stat) != 0 ||
        stat.st_ino != identity->inode || (stat.st_mode & OWNER_READS) != 0)
        return -EACCES;
    const int64_t shown_ns = velo_ctime_of(node, velo_ns(&stat.st_ctim));
    const mode_t mode = stat.st_mode & 07777;
    int fd = -EACCES;
    atomic_store(&region->header->readable, index << 1 | which);
    if (velo_os_chmod(path, mode | OWNER_READS) == 0) {
        fd = velo_os_open(path, flags | O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW, 0);
        velo_os_chmod(path, mode);
        if (velo_os_lstat(path, &stat) == 0)
            keep_ctime_locked(region, index, which, shown_ns, &stat);
    }
    atomic_store(&region->header->readable, 0);
    return fd;
}

int velo_open_to_read(struct velo_region *region, uint32_t index, unsigned which, const char *path,
                      int flags)
{
    int fd = velo_os_open(path, flags | O_RDONLY | O_CLOEXEC, 0);
    if (fd == -EPERM) /* O_NOATIME is for owners */
        fd = velo_os_open(path, (flags & ~O_NOATIME) | O_RDONLY | O_CLOEXEC, 0);
    if (fd != -EACCES)
        return fd;
    struct velo_hold hold;
    velo_begin(region, &hold);
    const int opened = open_unreadable_locked(region, index, which, path, flags);
    velo_commit(region, &hold);
    return opened;
}

static void unreadable_again(struct velo_region *region)
{
    char path[PATH_MAX];
    struct stat stat;
    const uint32_t readable = atomic_load(&region->header->readable);
    const struct velo_node *node = velo_node_at(region, readable >> 1);
    if (readable == 0)
        return;
    const struct velo_name *name = velo_name_at(region, node->first_name);
    char text[VELO_NAME_MAX + 1];
    int known = node->type == VELO_REGULAR;
    if (known && (readable & 1) == VELO_ID_ARENA)
        velo_backing_path(region, node->backing, path);
    else if (known)
        known = velo_name_path(region, name->parent, text, velo_name_text(region, name, text),
                               path) > 0;
    if (known && velo_os_lstat(path, &stat) == 0)
        velo_os_chmod(path, stat.st_mode & 07777 & ~(mode_t)OWNER_READS);
    atomic_store(&region->header->readable, 0);
}

/* ---- recovery -------------------------------------------------------------------------------- */

void velo_loosened_recover(struct velo_region *region)
{
    unreadable_again(region);
    char path[PATH_MAX];
    const uint32_t directory = atomic_load(&region->header->loosened);
    const struct velo_node *node = velo_node_at(region, directory);
    if (directory == 0)
        return;
    if (node->type == VELO_DIRECTORY && velo_directory_path(region, directory, path) > 0)
        velo_os_chmod(path, node->mode & 07777);
    atomic_store(&region->header->loosened, 0);
}
