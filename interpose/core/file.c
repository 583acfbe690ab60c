/* file.c - opening regular files: create, open, copy up from disk, fetch from the store.
 *
 * The bytes of a BACKED file are a tmpfs file that has the hosted file's own mode, owner and times,
 * made by openat with the program's own mode: umask, O_APPEND, permissions and stamps are the
 * kernel's.  A program that opens for writing opens first, and then, under the lock, looks whether
 * the node still means that tmpfs file (if not, it closes and starts over) and raises its version.
 * Who settles, puts or evicts notes the version, asks the kernel for writers, and believes the
 * answer only if the version is the same afterwards: it saw us open, or it sees the version. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sendfile.h>

#include "os.h"
#include "reconcile.h"
#include "tree.h"

#define ATTEMPTS_MAX 1000
#define COPY_CHUNK (1u << 20)

enum { AGAIN = -6000 }; /* the node changed under us: look again */

/* What of the program's flags may be said to a file that exists already. */
#define REOPEN_MASK (~(O_CREAT | O_EXCL | O_NOFOLLOW | O_DIRECTORY))

static int writes(int flags)
{
    return (flags & O_PATH) == 0 &&
           ((flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0);
}

/* A consistent copy of what open needs to know of a node. */
struct velo_look {
    enum velo_state state;
    uint32_t generation, links, home;
    uint64_t backing, version;
};

static int look_at(struct velo_region *region, uint32_t index, struct velo_look *out)
{
    struct velo_hold hold;
    for (int attempt = 0; attempt < 100; attempt++) {
        const uint64_t sequence = velo_read_begin(region);
        const struct velo_node *node = velo_node_at(region, index);
        out->state = VELO_READ(node->state);
        out->generation = VELO_READ(node->generation);
        out->links = VELO_READ(node->links);
        out->home = VELO_READ(node->home);
        out->backing = VELO_READ(node->backing);
        out->version = VELO_READ(node->version);
        const int type = VELO_READ(node->type);
        if ((sequence & 1) == 0 && !velo_read_retry(region, sequence))
            return type == VELO_REGULAR ? 0 : -ENOENT;
        if ((sequence & 1) != 0) { /* a stuck writer: entering repairs */
            velo_begin(region, &hold);
            velo_commit(region, &hold);
        }
    }
    velo_begin(region, &hold);
    const struct velo_node *node = velo_node_at(region, index);
    *out = (struct velo_look){.state = node->state,
                              .generation = node->generation,
                              .links = node->links,
                              .home = node->home,
                              .backing = node->backing,
                              .version = node->version};
    const int type = node->type;
    velo_commit(region, &hold);
    return type == VELO_REGULAR ? 0 : -ENOENT;
}

static void tick(struct velo_region *region, uint32_t index)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    atomic_store_explicit(&velo_node_at(region, index)->access_tick,
                          (uint64_t)velo_ns(&now), memory_order_relaxed);
}

int velo_looks_like_program(const char *name, size_t length, mode_t mode)
{
    if ((mode & 0111) != 0)
        return 1;
    if (length > 5 && memcmp(name + length - 5, ".node", 5) == 0)
        return 1;
    for (size_t i = 0; i + 3 <= length; i++)
        if (memcmp(name + i, ".so", 3) == 0 && (i + 3 == length || name[i + 3] == '.'))
            return 1;
    return 0;
}

/* ---- new files ------------------------------------------------------------------------------- */

/* Everything about a file that was just created in the kernel and is not in the tree yet. */
struct newborn {
    uint64_t backing; /* 0: born on disk */
    struct stat stat;
};

static int enter_new_locked(struct velo_region *region, const struct velo_place *place,
                            const struct newborn *born)
{
    struct velo_node *parent = velo_node_at(region, place->parent);
    if (parent->type != VELO_DIRECTORY || parent->links == 0)
        return -ENOENT;
    if (velo_name_find(region, place->parent, place->name, place->name_length) != 0)
        return AGAIN;
    const uint32_t index = velo_node_new_locked(region, VELO_REGULAR);
    if (index == 0)
        return -ENOSPC;
    struct velo_node *node = velo_node_at(region, index);
    VELO_INIT(node->home, (uint16_t)velo_home_of(region, place->path, place->path_length));
    VELO_INIT(node->backing, born->backing);
    VELO_INIT(node->version, 1);
    VELO_INIT(node->btime_ns, velo_ns(&born->stat.st_mtim));
    velo_raise_floor(region, node->btime_ns); /* the directory's stamp is not before its entry's */
    velo_take_stat_locked(region, index, &born->stat);
    velo_state_set_locked(region, index, born->backing != 0 ? VELO_BACKED : VELO_DISK);
    velo_identity_set_locked(region, index, born->backing != 0 ? VELO_ID_ARENA : VELO_ID_DISK,
                             born->stat.st_dev, born->stat.st_ino);
    const uint32_t name =
        velo_name_enter_locked(region, place->parent, place->name, place->name_length, index);
    if (name == 0)
        return -ENOSPC;
    if (born->backing == 0)
        velo_name_disk_locked(region, name, 1, &born->stat);
    if (velo_looks_like_program(place->name, place->name_length, born->stat.st_mode))
        velo_set32(region, &node->flags, VELO_NODE_PROGRAM);
    velo_program_locked(region, index);
    velo_touch_locked(region, place->parent);
    return (int)index;
}

static int enter_new(struct velo_region *region, const struct velo_place *place,
                     const struct newborn *born)
{
    struct velo_hold hold;
    velo_begin(region, &hold);
    return velo_finish(region, &hold, enter_new_locked(region, place, born));
}

/* In a set-group-ID directory a new file has the directory's group. */
static void inherit_group(struct velo_region *region, const struct velo_place *place, int fd,
                          struct newborn *born)
{
    const struct velo_node *parent = velo_node_at(region, place->parent);
    if ((parent->mode & S_ISGID) == 0 || parent->gid == born->stat.st_gid)
        return;
    velo_os_fchown(fd, (uid_t)-1, parent->gid);
    velo_os_fstat(fd, &born->stat);
}

static int create_in_memory(struct velo_region *region, struct velo_place *place, int flags,
                            mode_t mode)
{
    struct newborn born = {.backing = velo_backing_new(region)};
    char path[320];
    velo_backing_path(region, born.backing, path);
    int fd = velo_os_open(path, (flags & ~(O_TRUNC | O_NOFOLLOW)) | O_CREAT | O_EXCL, mode);
    if (fd < 0)
        return fd == -EEXIST ? AGAIN : fd;
    int rc = velo_os_fstat(fd, &born.stat);
    if (rc == 0) {
        inherit_group(region, place, fd, &born);
        rc = enter_new(region, place, &born);
    }
    if (rc < 0) {
        velo_os_close(fd);
        velo_os_unlink(path);
        return rc;
    }
    place->node = (uint32_t)rc;
    place->type = VELO_REGULAR;
    tick(region, place->node);
    return fd;
}

/* The disk's half and ours in one hold of the lock, as for whatever else is born on disk. */
static int create_on_disk_locked(struct velo_region *region, struct velo_place *place, int flags,
                                 mode_t mode, int *fd)
{
    struct newborn born = {.backing = 0};
    if (velo_name_find(region, place->parent, place->name, place->name_length) != 0)
        return AGAIN;
    int rc = velo_fresh_path(region, place);
    if (rc != 0)
        return rc;
    atomic_store(&region->header->disk_step, place->parent);
    *fd = velo_os_open(place->path, flags | O_CREAT | O_EXCL, mode);
    if (*fd < 0)
        return *fd;
    rc = velo_os_fstat(*fd, &born.stat);
    if (rc == 0)
        rc = enter_new_locked(region, place, &born);
    if (rc < 0) {
        velo_os_close(*fd);
        velo_os_unlink(place->path);
    }
    return rc;
}

/* No memory and nobody who could make room: the file is born at its real path. */
static int create_on_disk(struct velo_region *region, struct velo_place *place, int flags,
                          mode_t mode)
{
    int fd = -1;
    struct velo_hold hold;
    velo_begin(region, &hold);
    const int rc = velo_finish(region, &hold,
                               create_on_disk_locked(region, place, flags, mode, &fd));
    if (rc == -EEXIST) { /* something of an outsider stands there: take it in, look again */
        velo_directory_refresh(region, place->parent);
        return AGAIN;
    }
    if (rc < 0)
        return rc;
    velo_escape(region, VELO_ESCAPE_DIRECT);
    place->node = (uint32_t)rc;
    place->type = VELO_REGULAR;
    return fd;
}

static int create(struct velo_region *region, struct velo_place *place, int flags, mode_t mode)
{
    if (place->must_be_directory)
        return -EISDIR;
    if ((flags & O_DIRECTORY) != 0)
        return -EINVAL;
    const int rc = velo_may(region, velo_node_at(region, place->parent), 3);
    if (rc != 0)
        return rc;
    const uint32_t home = velo_home_of(region, place->path, place->path_length);
    if (velo_space_for_open(region, home) != 0)
        return create_on_disk(region, place, flags, mode);
    const int fd = create_in_memory(region, place, flags, mode);
    return fd == -ENOSPC ? create_on_disk(region, place, flags, mode) : fd;
}

/* ---- disk to memory -------------------------------------------------------------------------- */

int velo_copy_bytes(int from, int to)
{
    for (;;) {
        const long got = velo_sys4(SYS_sendfile, to, from, 0, COPY_CHUNK);
        if (got == -EINTR || got == -EAGAIN)
            continue;
        if (got <= 0)
            return (int)got;
    }
}

void velo_copy_attributes(int to, const struct stat *from)
{
    struct stat now;
    if (velo_os_fstat(to, &now) == 0 &&
        (now.st_uid != from->st_uid || now.st_gid != from->st_gid) &&
        velo_os_fchown(to, from->st_uid, from->st_gid) != 0)
        velo_os_fchown(to, (uid_t)-1, from->st_gid); /* not root: the group at least */
    velo_os_fchmod(to, from->st_mode & 07777);
    const struct timespec times[2] = {from->st_atim, from->st_mtim};
    velo_sys4(SYS_utimensat, to, 0, velo_word(times), 0);
}

static int publish_copy(struct velo_region *region, uint32_t index, const struct velo_look *look,
                        uint64_t backing, const struct stat *stat, int changed)
{
    struct velo_hold hold;
    velo_begin(region, &hold);
    struct velo_node *node = velo_node_at(region, index);
    int rc = AGAIN;
    if (node->generation == look->generation && node->state == look->state &&
        node->version == look->version) {
        velo_set64(region, &node->backing, backing);
        velo_identity_set_locked(region, index, VELO_ID_ARENA, stat->st_dev, stat->st_ino);
        velo_state_set_locked(region, index, VELO_BACKED);
        velo_charge_set_locked(region, index, (uint64_t)stat->st_blocks * 512);
        if (changed) /* else what was settled stays true: the copy has the same attributes */
            velo_dirty_locked(region, index);
        rc = 0;
    }
    return velo_finish(region, &hold, rc);
}

static int real_path(struct velo_region *region, uint32_t index, char path[PATH_MAX])
{
    const int rc = velo_path_of(region, index, path);
    return rc < 0 ? rc : 0;
}

/* DISK -> BACKED. With `truncate` the bytes are not wanted. 0, AGAIN or -errno. */
static int copy_up(struct velo_region *region, struct velo_place *place,
                   const struct velo_look *look, int truncate)
{
    const int from = velo_os_open(place->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0);
    if (from < 0)
        return from;
    const uint64_t backing = velo_backing_new(region);
    char path[320];
    struct stat stat, made;
    velo_backing_path(region, backing, path);
    int rc = velo_os_fstat(from, &stat);
    const int to = rc != 0 ? rc
                           : velo_os_open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    rc = to < 0 ? to : 0;
    if (to >= 0) {
        if (!truncate)
            rc = velo_copy_bytes(from, to);
        if (rc == 0) {
            velo_copy_attributes(to, &stat);
            rc = velo_os_fstat(to, &made);
        }
        if (rc == 0)
            rc = publish_copy(region, place->node, look, backing, &made, truncate);
        velo_os_close(to);
        if (rc != 0)
            velo_os_unlink(path);
    }
    velo_os_close(from);
    return rc;
}

int velo_load_begin(struct velo_region *region, uint32_t index, uint64_t *token)
{
    struct velo_look look;
    const int rc = look_at(region, index, &look);
    if (rc != 0)
        return rc;
    if (look.state != VELO_COLD)
        return -EALREADY;
    char path[320];
    *token = velo_backing_new(region);
    velo_backing_path(region, *token, path);
    return velo_os_open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
}

int velo_load_end(struct velo_region *region, uint32_t index, uint64_t token, int fd)
{
    struct velo_look look;
    struct stat stat = {0}, made;
    char path[320];
    velo_backing_path(region, token, path);
    int rc = look_at(region, index, &look);
    if (rc == 0 && look.state != VELO_COLD)
        rc = -EALREADY;
    if (rc == 0) {
        const struct velo_node *node = velo_node_at(region, index);
        stat.st_mode = node->mode;
        stat.st_uid = node->uid;
        stat.st_gid = node->gid;
        stat.st_atim = velo_timespec(node->atime_ns);
        stat.st_mtim = velo_timespec(node->mtime_ns);
        velo_copy_attributes(fd, &stat);
        rc = velo_os_fstat(fd, &made);
    }
    if (rc == 0)
        rc = publish_copy(region, index, &look, token, &made, 0);
    velo_os_close(fd);
    if (rc == 0)
        atomic_fetch_add(&region->header->loads, 1);
    else
        velo_os_unlink(path);
    return rc == AGAIN ? -EALREADY : rc;
}

/* ---- files that exist ------------------------------------------------------------------------ */

/* Raise the version for a change that is possible from now on. 0, or AGAIN when the node is not
 * what `look` saw. */
static int announce(struct velo_region *region, uint32_t index, const struct velo_look *look)
{
    struct velo_hold hold;
    velo_begin(region, &hold);
    const struct velo_node *node = velo_node_at(region, index);
    int rc = AGAIN;
    if (node->generation == look->generation && node->state == look->state &&
        node->backing == look->backing) {
        velo_dirty_locked(region, index);
        rc = 0;
    }
    return velo_finish(region, &hold, rc);
}

static int still(struct velo_region *region, uint32_t index, const struct velo_look *look)
{
    struct velo_look now;
    return look_at(region, index, &now) == 0 && now.generation == look->generation &&
           now.state == look->state && now.backing == look->backing;
}

static int open_backed(struct velo_region *region, struct velo_place *place,
                       const struct velo_look *look, int flags)
{
    char path[320];
    velo_backing_path(region, look->backing, path);
    const int writing = writes(flags);
    if (writing)
        velo_space_for_open(region, look->home); /* as much as there is; the file is here already */
    if ((flags & O_TRUNC) != 0 && announce(region, place->node, look) != 0)
        return AGAIN; /* before, too: opening alone changes it, and we may be killed right then */
    const int fd = velo_os_open(path, flags & REOPEN_MASK, 0);
    if (fd == -ENOENT)
        return AGAIN;
    if (fd == -EAGAIN) /* O_NONBLOCK met the lease of a shard that is just looking */
        return AGAIN;
    if (fd >= 0 && (writing ? announce(region, place->node, look) != 0
                            : !still(region, place->node, look))) {
        velo_os_close(fd);
        return AGAIN;
    }
    tick(region, place->node);
    return fd;
}

/* Write to the file on disk itself: no memory, and nobody who could make room. */
static int open_direct(struct velo_region *region, struct velo_place *place,
                       const struct velo_look *look, int flags)
{
    struct velo_hold hold;
    velo_begin(region, &hold);
    struct velo_node *node = velo_node_at(region, place->node);
    const int same = node->generation == look->generation && node->version == look->version;
    if (same) /* size and times are the disk's from now on */
        velo_set64(region, &node->settled, 0);
    velo_finish(region, &hold, 0);
    if (!same)
        return AGAIN;
    velo_escape(region, VELO_ESCAPE_DIRECT);
    return velo_os_open(place->path, flags & REOPEN_MASK, 0);
}

/* Names outside hosted directories share the file: writing must reach them, too. */
static int has_outside_names(struct velo_region *region, const struct velo_place *place)
{
    struct stat stat;
    return velo_os_lstat(place->path, &stat) == 0 &&
           stat.st_nlink > VELO_READ(velo_node_at(region, place->node)->links);
}

static int open_disk_to_write(struct velo_region *region, struct velo_place *place,
                              const struct velo_look *look, int flags)
{
    int rc = velo_os_access(place->path, W_OK, AT_EACCESS);
    if (rc != 0)
        return rc;
    if (has_outside_names(region, place))
        return open_direct(region, place, look, flags);
    rc = velo_space_for_open(region, look->home);
    if (rc == 0)
        rc = copy_up(region, place, look, (flags & O_TRUNC) != 0);
    if (rc == -ENOSPC)
        return open_direct(region, place, look, flags);
    return rc == 0 ? AGAIN : rc;
}

/* The disk says ENOENT where the namespace has a file. When it still has, somebody removed it
 * behind our back. By comparison under the lock: a client may have put another file there since. */
static int gone_from_disk(struct velo_region *region, const struct velo_place *place,
                          const struct velo_look *look)
{
    if (still(region, place->node, look))
        velo_directory_refresh(region, place->parent);
    return AGAIN;
}

static int open_disk(struct velo_region *region, struct velo_place *place,
                     const struct velo_look *look, int flags)
{
    if (writes(flags)) {
        const int rc = open_disk_to_write(region, place, look, flags);
        return rc == -ENOENT ? gone_from_disk(region, place, look) : rc;
    }
    const int fd = velo_os_open(place->path, flags & REOPEN_MASK, 0);
    if (fd >= 0 && still(region, place->node, look))
        return fd;
    if (fd >= 0)
        velo_os_close(fd);
    else if (fd != -ENOENT)
        return fd;
    return gone_from_disk(region, place, look);
}

static int open_regular(struct velo_region *region, struct velo_place *place, int flags)
{
    struct velo_look look;
    const int rc = look_at(region, place->node, &look);
    if (rc != 0 || look.generation != place->generation || look.links == 0)
        return AGAIN;
    switch (look.state) {
    case VELO_BACKED:
        return open_backed(region, place, &look, flags);
    case VELO_DISK:
        return open_disk(region, place, &look, flags);
    case VELO_COLD: {
        if (region->ask == NULL)
            return -EIO;
        const int asked = region->ask(region, VELO_ASK_LOAD, look.home, place->node);
        return asked == 0 ? AGAIN : asked;
    }
    default:
        return -EIO;
    }
}

static int open_existing(struct velo_region *region, struct velo_place *place, int flags)
{
    if ((flags & O_CREAT) != 0 && (flags & O_DIRECTORY) != 0)
        return -EINVAL;
    if ((flags & O_CREAT) != 0 && place->must_be_directory && place->dots == 0)
        return -EISDIR;
    if ((flags & O_CREAT) != 0 && (flags & O_EXCL) != 0)
        return -EEXIST;
    if (place->type != VELO_REGULAR) /* always on disk: the kernel's own answer */
        return velo_os_open(place->path, flags, 0);
    if (place->must_be_directory || (flags & O_DIRECTORY) != 0)
        return -ENOTDIR;
    return open_regular(region, place, flags);
}

int velo_open(struct velo_region *region, struct velo_place *place, int flags, mode_t mode)
{
    const unsigned walk = (flags & O_NOFOLLOW) != 0 ||
                                  (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)
                              ? VELO_WALK_NOFOLLOW
                              : 0;
    for (int attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        int fd;
        if (place->kind == VELO_OUTSIDE)
            return velo_os_open(place->path, flags, mode);
        if (place->type != VELO_NONE)
            fd = open_existing(region, place, flags);
        else if ((flags & O_CREAT) != 0)
            fd = create(region, place, flags, mode);
        else
            return -ENOENT;
        if (fd != AGAIN)
            return fd;
        const int rc = velo_walk_again(region, walk, place);
        if (rc != 0)
            return rc;
    }
    return -EIO;
}

int velo_walk_again(struct velo_region *region, unsigned flags, struct velo_place *place)
{
    char text[PATH_MAX];
    const int slash = place->must_be_directory && place->path_length + 1u < PATH_MAX;
    memcpy(text, place->path, (size_t)place->path_length + 1);
    if (slash) {
        text[place->path_length] = '/';
        text[place->path_length + 1] = 0;
    }
    return velo_walk(region, text, flags, place);
}

int velo_kernel_path(struct velo_region *region, struct velo_place *place, int for_writing,
                     char path[PATH_MAX])
{
    for (int attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        struct velo_look look;
        if (place->kind == VELO_OUTSIDE || place->type != VELO_REGULAR)
            break;
        int rc = look_at(region, place->node, &look);
        if (rc == 0 && look.state == VELO_BACKED && for_writing)
            rc = announce(region, place->node, &look);
        else if (rc == 0 && look.state == VELO_DISK && for_writing)
            rc = copy_up(region, place, &look, 0) == -ENOSPC ? -ENOSPC : AGAIN;
        else if (rc == 0 && look.state == VELO_COLD)
            rc = region->ask == NULL
                     ? -EIO
                     : (region->ask(region, VELO_ASK_LOAD, look.home, place->node) != 0 ? -EIO
                                                                                      : AGAIN);
        if (rc == 0 && look.state == VELO_BACKED) {
            velo_backing_path(region, look.backing, path);
            return 0;
        }
        if (rc == 0)
            break;
        if (rc != AGAIN)
            return rc;
        rc = velo_walk_again(region, VELO_WALK_NOFOLLOW, place);
        if (rc != 0)
            return rc;
    }
    memcpy(path, place->path, (size_t)place->path_length + 1);
    return place->kind == VELO_HOSTED && place->type == VELO_NONE ? -ENOENT : 0;
}

int velo_open_bytes(struct velo_region *region, uint32_t index)
{
    struct velo_look look;
    int rc = look_at(region, index, &look);
    if (rc != 0)
        return rc;
    char path[PATH_MAX];
    if (look.state == VELO_BACKED)
        velo_backing_path(region, look.backing, path);
    else if (look.state == VELO_DISK)
        rc = real_path(region, index, path);
    else
        rc = -EAGAIN;
    return rc != 0 ? rc : velo_os_open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
}
