/* rights.c - rights that the owner, our own user, has taken away, given back for one step.  See rights.h. */
#include "rights.h"

#include <errno.h>
#include <fcntl.h>

#include "core/arena/lock.h"
#include "kernel/os.h"
#include "kernel/text.h"
#include "core/tree/stamps.h"
#include "core/tree/tree.h"
#include "core/tree/path.h"
#include "tether.h"

#define MAY_SEARCH 0100u
#define MAY_CHANGE 0300u
#define OPEN_ATTEMPTS 8
#define CHAIN_MAX 64u /* directories on the way; below more of them nothing is loosened */

/* ---- directories ----------------------------------------------------------------------------- */

struct chain { /* from the directory itself up to the hosted root */
    velo_node_id directories[CHAIN_MAX];
    uint32_t count;
    mode_t last; /* rights wanted on the directory itself; on those above: to search */
};

static void collect(const struct velo_region *region, velo_node_id directory, mode_t last,
                    struct chain *chain)
{
    chain->count = 0;
    chain->last = last;
    for (; velo_is_node(directory) && chain->count < CHAIN_MAX;
         directory = velo_node_at(region, directory)->parent)
        chain->directories[chain->count++] = directory;
}

/* Give `path` its mode back, unless a program has set another one since, by a descriptor: it does so
 * without the lock. */
static void take_from(const char *path, mode_t given, mode_t mode)
{
    struct stat now;
    if (velo_os_lstat(path, &now) == 0 && (now.st_mode & 07777) == given)
        velo_os_chmod(path, mode);
}

static void set_mode(struct velo_region *region, const struct chain *chain, uint32_t at, int with)
{
    const struct velo_node *node = velo_node_at(region, chain->directories[at]);
    const mode_t mode = node->mode & 07777, wanted = at == 0 ? chain->last : MAY_SEARCH;
    char path[PATH_MAX];
    if (node->type != VELO_DIRECTORY || (mode & wanted) == wanted ||
        velo_directory_path(region, chain->directories[at], path) < 0)
        return;
    if (with)
        velo_os_chmod(path, mode | wanted);
    else
        take_from(path, mode | wanted, mode);
}

/* Top down, since each is reached through those above; and back bottom up. */
static void give_rights(struct velo_region *region, const struct chain *chain)
{
    for (uint32_t at = chain->count; at-- > 0;)
        set_mode(region, chain, at, 1);
}

static void tighten(struct velo_region *region, const struct chain *chain)
{
    for (uint32_t at = 0; at < chain->count; at++)
        set_mode(region, chain, at, 0);
}

struct step {
    int dirfd;
    const char *name, *other;
    const struct timespec *times;
    struct stat *out;
};

static int create(const struct step *s)
{
    return velo_os_openat(s->dirfd, s->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
}

static int create_unnamed(const struct step *s)
{
    return velo_os_openat(s->dirfd, ".", O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600);
}

static int name_unnamed(const struct step *s)
{
    return velo_os_linkat(AT_FDCWD, s->other, s->dirfd, s->name, AT_SYMLINK_FOLLOW);
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

static int open_directory(const struct step *s)
{
    return velo_os_open(s->name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
}

/* `second`: another directory that the step goes through, or 0. */
static int with_rights_locked(struct velo_region *region, velo_node_id directory,
                              velo_node_id second, mode_t rights, int (*do_it)(const struct step *),
                              const struct step *s)
{
    struct chain first, other;
    collect(region, directory, rights, &first);
    collect(region, second, MAY_SEARCH, &other);
    atomic_store(&region->header->with_rights_other, second);
    atomic_store(&region->header->with_rights, directory);
    give_rights(region, &first);
    give_rights(region, &other);
    const int rc = do_it(s);
    tighten(region, &other);
    give_rights(region, &first); /* they may have directories in common */
    tighten(region, &first);
    atomic_store(&region->header->with_rights, VELO_NO_NODE);
    atomic_store(&region->header->with_rights_other, VELO_NO_NODE);
    return rc;
}

static int with_rights(struct velo_region *region, velo_node_id directory, velo_node_id second,
                       mode_t rights, int (*do_it)(const struct step *), const struct step *s)
{
    const int rc = do_it(s);
    if (rc != -EACCES)
        return rc;
    struct velo_hold hold;
    velo_begin(region, &hold);
    const int with = with_rights_locked(region, directory, second, rights, do_it, s);
    velo_commit(region, &hold);
    return with;
}

/* A frame of its own: the caller may have a small stack. */
__attribute__((noinline)) static int open_once(struct velo_region *region, velo_node_id directory)
{
    char path[PATH_MAX];
    const int rc = velo_path_of(region, directory, path);
    const int fd = rc < 0 ? rc
                          : with_rights(region, directory, VELO_NO_NODE, MAY_SEARCH, open_directory,
                                        &(struct step){.name = path});
    if (fd < 0)
        return rc >= 0 && (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP) ? -ESTALE : fd;
    if (velo_is_directory_of(region, directory, fd))
        return fd;
    velo_os_close(fd);
    return -ESTALE;
}

int velo_open_directory(struct velo_region *region, velo_node_id directory)
{
    const int fd = velo_tethered(region, directory);
    return fd == -ENOENT ? velo_open_at_path(region, directory) : fd;
}

int velo_open_at_path(struct velo_region *region, velo_node_id directory)
{
    int fd = -ESTALE;
    for (int attempt = 0; attempt < OPEN_ATTEMPTS && fd == -ESTALE; attempt++)
        fd = open_once(region, directory);
    return fd;
}

int velo_read_directory(int fd)
{
    if (fd < 0)
        return fd;
    const int readable = velo_os_openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    velo_os_close(fd);
    return readable;
}

static int open_tmpfile(const struct step *s)
{
    return velo_os_open(s->name, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

int velo_tmpfile_with_rights(struct velo_region *region, velo_node_id directory, const char *path)
{
    return with_rights(region, directory, VELO_NO_NODE, MAY_CHANGE, open_tmpfile,
                       &(struct step){.name = path});
}

static int open_name(const struct step *s)
{
    return velo_os_openat(s->dirfd, s->name, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
}

int velo_probe_with_rights(struct velo_region *region, velo_node_id directory, int dirfd,
                           const char *name)
{
    return with_rights(region, directory, VELO_NO_NODE, MAY_SEARCH, open_name,
                       &(struct step){.dirfd = dirfd, .name = name});
}

int velo_create_with_rights(struct velo_region *region, velo_node_id directory, int dirfd,
                            const char *name)
{
    return with_rights(region, directory, VELO_NO_NODE, MAY_CHANGE, create,
                       &(struct step){.dirfd = dirfd, .name = name});
}

int velo_create_unnamed_with_rights(struct velo_region *region, velo_node_id directory, int dirfd)
{
    return with_rights(region, directory, VELO_NO_NODE, MAY_CHANGE, create_unnamed,
                       &(struct step){.dirfd = dirfd});
}

int velo_name_with_rights(struct velo_region *region, velo_node_id directory, int fd, int dirfd,
                          const char *name)
{
    char path[21 + VELO_DECIMAL_MAX] = "/proc/thread-self/fd/"; /* right in each PID namespace */
    velo_write_decimal(path + 21, (uint64_t)fd);
    return with_rights(region, directory, VELO_NO_NODE, MAY_CHANGE, name_unnamed,
                       &(struct step){.dirfd = dirfd, .name = name, .other = path});
}

int velo_unlink_with_rights(struct velo_region *region, velo_node_id directory, int dirfd,
                            const char *name)
{
    return with_rights(region, directory, VELO_NO_NODE, MAY_CHANGE, remove_name,
                       &(struct step){.dirfd = dirfd, .name = name});
}

int velo_rename_with_rights(struct velo_region *region, velo_node_id directory, int dirfd,
                            const char *from, const char *to)
{
    return with_rights(region, directory, VELO_NO_NODE, MAY_CHANGE, rename_name,
                       &(struct step){.dirfd = dirfd, .name = from, .other = to});
}

int velo_link_with_rights(struct velo_region *region, velo_node_id directory, velo_node_id second,
                          const char *path, int dirfd, const char *name)
{
    return with_rights(region, directory, second, MAY_CHANGE, link_path,
                       &(struct step){.dirfd = dirfd, .name = name, .other = path});
}

int velo_fstat_unlent(struct velo_region *region, int fd, struct stat *out)
{
    struct velo_hold hold;
    velo_begin(region, &hold);
    const int rc = velo_os_fstat(fd, out);
    velo_commit(region, &hold);
    return rc;
}

static int set_times(const struct step *s)
{
    return velo_os_utimensat(AT_FDCWD, s->name, s->times, AT_SYMLINK_NOFOLLOW);
}

int velo_times_with_rights_locked(struct velo_region *region, velo_node_id directory,
                                  const char *path, const struct timespec times[2])
{
    int fd = velo_tethered(region, directory);
    if (fd == -ENOENT)
        fd = open_directory(&(struct step){.name = path});
    if (fd < 0 && fd != -EACCES)
        return fd;
    int rc = fd < 0 ? fd : -ESTALE;
    if (fd >= 0 && velo_is_directory_of(region, directory, fd))
        rc = velo_os_utimensat(fd, ".", times, 0);
    if (fd >= 0)
        velo_os_close(fd);
    const struct step step = {.name = path, .times = times};
    return rc != -EACCES ? rc
                         : with_rights_locked(region, directory, VELO_NO_NODE, 0, set_times, &step);
}

static int probe(const struct step *s)
{
    return velo_os_lstat(s->name, s->out);
}

int velo_lstat_with_rights_locked(struct velo_region *region, velo_node_id directory,
                                  const char *path, struct stat *out)
{
    const struct step step = {.name = path, .out = out};
    const int rc = probe(&step);
    return rc != -EACCES
               ? rc
               : with_rights_locked(region, directory, VELO_NO_NODE, MAY_SEARCH, probe, &step);
}

/* ---- files ----------------------------------------------------------------------------------- */

/* header.opened: the file, which of its two inodes, and the rights that it had not. */
static uint32_t note_of(velo_node_id node, unsigned which, mode_t given)
{
    const uint32_t writes = (given & S_IWUSR) != 0, reads = (given & S_IRUSR) != 0;
    return node.slot << 3 | which << 2 | writes << 1 | reads;
}

static mode_t rights_of(uint32_t note)
{
    return ((note & 1) != 0 ? S_IRUSR : 0) | ((note & 2) != 0 ? S_IWUSR : 0);
}

/* The two chmods moved the kernel's ctime; what is shown of the file did not change. */
static void keep_ctime_locked(struct velo_region *region, velo_node_id index, unsigned which,
                              int64_t shown_ns, const struct stat *now)
{
    struct velo_node *node = velo_node_at(region, index);
    velo_set_time(region, &node->ctime_ns, shown_ns);
    velo_set_time(region, &node->copied_ns, velo_ns(&now->st_ctim));
    if (which == VELO_ID_DISK)
        velo_names_record_locked(region, index, now);
}

static int open_with_rights_locked(struct velo_region *region, velo_node_id index, unsigned which,
                                   const char *path, int flags)
{
    const struct velo_node *node = velo_node_at(region, index);
    struct stat stat;
    if (node->type != VELO_REGULAR || velo_os_lstat(path, &stat) != 0 || !S_ISREG(stat.st_mode))
        return -EACCES;
    const int64_t shown_ns = velo_ctime_of(node, velo_ns(&stat.st_ctim));
    const int is_its = stat.st_ino == node->identity[which].inode;
    const mode_t mode = stat.st_mode & 07777;
    const mode_t wanted = (flags & O_ACCMODE) == O_RDONLY   ? S_IRUSR
                          : (flags & O_ACCMODE) == O_WRONLY ? S_IWUSR
                                                            : S_IRUSR | S_IWUSR;
    int fd = -EACCES;
    atomic_store(&region->header->opened, note_of(index, which, wanted & ~mode));
    if (velo_os_chmod(path, mode | wanted) == 0) {
        fd = velo_os_open(path, flags | O_NONBLOCK, 0);
        take_from(path, mode | wanted, mode);
        if (is_its && velo_os_lstat(path, &stat) == 0)
            keep_ctime_locked(region, index, which, shown_ns, &stat);
    }
    atomic_store(&region->header->opened, 0);
    if (fd >= 0 && (flags & O_NONBLOCK) == 0)
        velo_sys3(SYS_fcntl, fd, F_SETFL, flags & ~O_NONBLOCK);
    return fd;
}

int velo_open_file_with_rights(struct velo_region *region, velo_node_id index, unsigned which,
                               const char *path, int flags)
{
    int fd = velo_os_open(path, flags | O_CLOEXEC, 0);
    if (fd == -EPERM) /* O_NOATIME is for owners */
        fd = velo_os_open(path, (flags & ~O_NOATIME) | O_CLOEXEC, 0);
    if (fd != -EACCES)
        return fd;
    struct velo_hold hold;
    velo_begin(region, &hold);
    const int given = open_with_rights_locked(region, index, which, path, flags | O_CLOEXEC);
    velo_commit(region, &hold);
    return given;
}

static void take_back(struct velo_region *region)
{
    char path[PATH_MAX], text[VELO_NAME_MAX + 1];
    struct stat stat;
    const uint32_t note = atomic_load(&region->header->opened);
    const struct velo_node *node = velo_node_at(region, velo_node_from(note >> 3));
    const struct velo_name *name = velo_name_at(region, node->first_name);
    int known = note != 0 && node->type == VELO_REGULAR;
    if (known && (note >> 2 & 1) == VELO_ID_ARENA)
        velo_backing_path(region, node->backing, path);
    else if (known)
        known = velo_name_path(region, name->parent, text, velo_name_text(region, name, text),
                               path) > 0;
    if (known && velo_os_lstat(path, &stat) == 0 && S_ISREG(stat.st_mode))
        velo_os_chmod(path, stat.st_mode & 07777 & ~rights_of(note));
    atomic_store(&region->header->opened, 0);
}

/* ---- recovery -------------------------------------------------------------------------------- */

static int nothing(const struct step *s)
{
    (void)s;
    return 0;
}

void velo_rights_recover(struct velo_region *region)
{
    const velo_node_id directory = atomic_load(&region->header->with_rights);
    take_back(region);
    if (velo_is_node(directory))
        with_rights_locked(region, directory, atomic_load(&region->header->with_rights_other),
                           MAY_CHANGE, nothing, NULL);
}

int velo_reopen_in_memory(struct velo_region *region, velo_node_id node, int flags)
{
    char path[320];
    velo_backing_path(region, VELO_READ(velo_node_at(region, node)->backing), path);
    return velo_open_file_with_rights(region, node, VELO_ID_ARENA, path, flags);
}
