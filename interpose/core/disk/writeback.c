/* writeback.c - from memory to the real tree.
 *
 * A file is made in its own directory without a name, with all attributes, and is linked into place;
 * so no program meets what is half done, and the directory grows as it would have natively.  Where the
 * name is there already, or the file system cannot do that, the file goes to a temporary name instead
 * and is renamed.  The writer says so first (name.writer) and records it last; in between, an unlink or
 * rename of that very name waits, and no other call does.  A further name of the same file becomes a
 * hard link to the one that is there.  A file that a process is writing is put as it is at that moment
 * and stays dirty.  Everything at once: flush.c. */
#include "core/tree/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "copy.h"
#include "disk_names.h"
#include "missing.h"
#include "writeback.h"
#include "kernel/lease.h"
#include "temporary.h"
#include "rights.h"
#include "kernel/os.h"
#include "core/arena/process.h"
#include "core/presence/watch.h"
#include "tether.h"
#include "core/tree/path.h"

#define NAMES_A_FILE_MAX 65536
#define TRIES_A_NAME 3

/* One name that needs putting, copied under the lock. */
struct job {
    velo_node_id node, parent;
    uint32_t generation;
    velo_name_id name;
    enum velo_state state;
    uint64_t version, backing;
    velo_name_id existing; /* a name that has this version on disk already, or none */
    int unnamed;       /* until it is linked into place */
    char text[VELO_NAME_MAX + 1];
};

/* Pick the next name of `node` whose disk copy is not the current version. 1 found, 0 none left. */
static int next_job(struct velo_region *region, velo_node_id index, uint32_t passed_over,
                    struct job *out)
{
    struct velo_hold hold;
    velo_begin(region, &hold);
    const struct velo_node *node = velo_node_at(region, index);
    int found = 0;
    out->existing = VELO_NO_NAME;
    if (node->type == VELO_REGULAR && node->state != VELO_COLD) {
        uint32_t steps = 0;
        for (velo_name_id name = node->first_name; velo_is_name(name);
             name = velo_next_of_node(region, name, &steps)) {
            const struct velo_name *entry = velo_name_at(region, name);
            if (entry->disk_version == node->version) {
                out->existing = name;
                continue;
            }
            if (found || passed_over > 0) {
                passed_over -= passed_over > 0;
                continue;
            }
            found = 1;
            out->node = index;
            out->generation = node->generation;
            out->name = name;
            out->parent = entry->parent;
            out->state = node->state;
            out->version = node->version;
            out->backing = node->backing;
            out->unnamed = (entry->flags & VELO_NAME_ON_DISK) == 0;
            velo_name_text(region, entry, out->text);
        }
    }
    velo_commit(region, &hold);
    return found;
}

/* Make `to` what `from` is. */
static int copy_all(struct velo_region *region, int from, int to, unsigned flags)
{
    struct stat stat;
    int rc = velo_copy_bytes(from, to);
    if (rc == 0)
        rc = velo_fstat_unlent(region, from, &stat);
    if (rc == 0)
        rc = velo_copy_attributes(from, to, &stat);
    if (rc == -EOPNOTSUPP) /* a disk that has no extended attributes: bytes matter more */
        rc = 0;
    if (rc == 0 && (flags & VELO_FLUSH_SYNC) != 0)
        rc = velo_os_fsync(to);
    return rc;
}

/* Write the bytes of `from` to a new file in `dirfd`; the descriptor, or -errno. */
static int copy_to_temporary(struct velo_region *region, struct job *job, int from, int dirfd,
                             const char *temporary, unsigned flags)
{
    int to = -EOPNOTSUPP;
    if (job->unnamed)
        to = velo_create_unnamed_with_rights(region, job->parent, dirfd);
    if (to == -EOPNOTSUPP || to == -EISDIR || to == -EINVAL ||
        (to == -EPERM && job->unnamed)) { /* EPERM: the directory was removed, says ext4 */
        job->unnamed = 0;
        /* of a process with our id that died */
        velo_unlink_with_rights(region, job->parent, dirfd, temporary);
        to = velo_create_with_rights(region, job->parent, dirfd, temporary);
    }
    if (to < 0)
        return to;
    const int rc = copy_all(region, from, to, flags);
    if (rc == 0)
        return to;
    velo_os_close(to);
    if (!job->unnamed)
        velo_unlink_with_rights(region, job->parent, dirfd, temporary);
    return rc;
}

/* Link the copy that is on disk already under another name. */
static int link_existing(struct velo_region *region, const struct job *job, int dirfd,
                         const char *temporary)
{
    char path[PATH_MAX], text[VELO_NAME_MAX + 1];
    struct velo_hold hold;
    struct stat linked;
    uint64_t inode = 0;
    int rc = -ENOENT;
    velo_unlink_with_rights(region, job->parent, dirfd, temporary);
    velo_begin(region, &hold);
    const struct velo_name *existing = velo_name_at(region, job->existing);
    const velo_node_id parent = existing->parent;
    if (velo_same_node(existing->node, job->node) && existing->disk_version == job->version) {
        inode = existing->disk_inode;
        const size_t length = velo_name_text(region, existing, text);
        rc = velo_name_path(region, existing->parent, text, length, path);
    }
    const int at = rc < 0 ? rc : velo_tethered(region, parent);
    if (rc >= 0) /* under the lock: no comparison may take the new ctime for an outsider's change */
        rc = velo_os_linkat(at >= 0 ? at : AT_FDCWD, at >= 0 ? text : path, dirfd, temporary, 0);
    if (at >= 0)
        velo_os_close(at);
    if (rc == 0 && velo_os_lstatat(dirfd, temporary, &linked) == 0)
        velo_names_record_locked(region, job->node, &linked);
    velo_commit(region, &hold);
    if (rc == -EACCES)
        rc = velo_link_with_rights(region, job->parent, parent, path, dirfd, temporary);
    if (rc != 0)
        return rc;
    const int fd = velo_probe_with_rights(region, job->parent, dirfd, temporary);
    if (fd >= 0 && velo_os_fstat(fd, &linked) == 0 && linked.st_ino == inode)
        return fd;
    if (fd >= 0) /* another file has that name by now */
        velo_os_close(fd);
    velo_temporary_remove(region, job->parent, dirfd, temporary);
    return fd < 0 ? fd : -ESTALE;
}

static int same_job(const struct velo_region *region, const struct job *job)
{
    const struct velo_name *name = velo_name_at(region, job->name);
    const struct velo_node *node = velo_node_at(region, job->node);
    char text[VELO_NAME_MAX + 1];
    return velo_same_node(name->node, job->node) && node->generation == job->generation &&
           velo_same_node(name->parent, job->parent) && velo_name_text(region, name, text) > 0 &&
           strcmp(text, job->text) == 0;
}

/* Is another writer of the same file in our way? 0 no; -EBUSY it is renaming one of the file's names;
 * -ESTALE it has put one since, and our name must become a link of that. */
static int other_writer_locked(struct velo_region *region, const struct job *job)
{
    velo_name_id index = velo_node_at(region, job->node)->first_name;
    uint32_t steps = 0;
    for (; velo_is_name(index); index = velo_next_of_node(region, index, &steps)) {
        const struct velo_name *name = velo_name_at(region, index);
        if (name->writer != 0 && velo_writer_alive(region, name->writer))
            return -EBUSY;
        if (!velo_is_name(job->existing) && name->disk_version == job->version)
            return -ESTALE;
    }
    return 0;
}

/* Announce the rename: from here to finish_rename the name stays what and where it is. */
static int begin_rename(struct velo_region *region, const struct job *job)
{
    struct velo_hold hold;
    velo_begin(region, &hold);
    struct velo_name *name = velo_name_at(region, job->name);
    int rc = same_job(region, job) ? other_writer_locked(region, job) : -ESTALE;
    if (rc == 0)
        velo_set32(region, &name->writer, (uint32_t)velo_sys0(SYS_gettid));
    return velo_finish(region, &hold, rc);
}

/* `written_fd`: the descriptor of what was renamed into place, or -1. It is looked at here, under
 * the lock: a client that took another of the file's names on disk meanwhile made it a new ctime.
 * */
static int finish_rename(struct velo_region *region, const struct job *job, int written_fd,
                         int current)
{
    struct stat now;
    const struct stat *disk = &now;
    struct velo_hold hold;
    velo_begin(region, &hold);
    const struct velo_node *node = velo_node_at(region, job->node);
    const int rc = written_fd < 0 ? 0 : velo_os_fstat(written_fd, &now);
    if (written_fd < 0 || rc != 0)
        disk = NULL;
    if (!same_job(region, job)) /* forgotten meanwhile, with everything around it */
        disk = NULL;
    else
        velo_set32(region, &velo_name_at(region, job->name)->writer, 0);
    struct velo_node *parent = velo_node_at(region, job->parent);
    if (parent->type == VELO_DIRECTORY) /* our rename stamped it; the program's write did not */
        velo_set32(region, &parent->flags, parent->flags | VELO_NODE_TIMES);
    if (disk != NULL) {
        const uint64_t replaced = velo_name_at(region, job->name)->disk_inode;
        const uint64_t version = current && node->version == job->version ? node->version : 0;
        velo_name_disk_locked(region, job->name, version, disk);
        velo_names_record_locked(region, job->node, disk); /* a new link is a new ctime for all */
        velo_identity_set_locked(region, job->node, VELO_ID_DISK, disk->st_dev, disk->st_ino);
        velo_program_locked(region, job->node);
        if (replaced != disk->st_ino)
            velo_copy_lost_locked(region, job->parent, replaced);
    }
    velo_commit(region, &hold);
    return rc;
}

/* The copy that is there got a link and lost it again: a new ctime, and no change of an outsider's. */
static void existing_was_linked(struct velo_region *region, const struct job *job, int fd)
{
    struct stat now;
    struct velo_hold hold;
    velo_begin(region, &hold);
    if (velo_node_at(region, job->node)->generation == job->generation &&
        velo_os_fstat(fd, &now) == 0)
        velo_names_record_locked(region, job->node, &now);
    velo_commit(region, &hold);
}

/* Version as of now, to tell whether what was copied is still the file. */
static int still_version(struct velo_region *region, const struct job *job)
{
    struct velo_node_info info;
    return velo_node_info(region, job->node, &info) == 0 && info.generation == job->generation &&
           info.version == job->version;
}

/* Where an outsider has put another directory in its place, or none, the namespace learns of that. */
static int open_parent(struct velo_region *region, velo_node_id parent, unsigned flags)
{
    const int fd = velo_open_directory(region, parent);
    if (fd == -ESTALE && (flags & VELO_FLUSH_NO_REFRESH) == 0)
        region->lost(region, parent);
    return fd == -ENOENT ? -ESTALE : fd; /* the directory went, and the name with it */
}

static int open_backing(struct velo_region *region, const struct job *job)
{
    char path[320];
    if (job->state != VELO_BACKED)
        return -ESTALE;
    velo_backing_path(region, job->backing, path);
    const int fd =
        velo_open_file_with_rights(region, job->node, VELO_ID_ARENA, path, O_NOATIME | O_NONBLOCK);
    if (fd == -ENOENT) /* it left memory meanwhile, or an outsider removed it there */
        return velo_is_missing(region, job->node) ? -ENODATA : -ESTALE;
    if (fd != -EAGAIN)
        return fd;
    /* Another process has a lease: a program, or another shard that is just looking. */
    return velo_has_program_lease(region, job->node) ? -ESTALE : -EBUSY;
}

/* Give the file its name. -ESTALE: it is to be tried again. */
static int into_place(struct velo_region *region, const struct job *job, int to, int dirfd,
                      const char *temporary, int waits)
{
    if (waits && velo_tether_naming(region, job->parent, job->unnamed ? job->text : NULL))
        return -EBUSY;
    if (job->unnamed) {
        const int named = velo_name_with_rights(region, job->parent, to, dirfd, job->text) == 0;
        const int missed = waits && velo_tether_missed(region);
        if (!named) /* another file stands there, there is no /proc, or the directory went */
            return -ESTALE;
        if (!missed)
            return 0;
        velo_unlink_with_rights(region, job->parent, dirfd, job->text);
        return -EBUSY;
    }
    const int rc = velo_rename_with_rights(region, job->parent, dirfd, temporary, job->text);
    if (rc == 0 && velo_is_name(job->existing)) /* renaming over a link of itself does nothing */
        velo_unlink_with_rights(region, job->parent, dirfd, temporary);
    return rc == -ENOENT ? -ESTALE : rc; /* the directory was removed, and the file with it */
}

/* Put one name. 0 done, 1 done but a process writes, -ESTALE it changed meanwhile, -errno. */
static int run_job(struct velo_region *region, struct job *job, unsigned flags)
{
    char temporary[64];
    int from = -1, current = 1;
    const int dirfd = open_parent(region, job->parent, flags);
    if (dirfd < 0)
        return dirfd;
    velo_temporary_name(job->node, temporary);
    struct velo_temporary *slot = velo_temporary_begin(region, job->node, job->parent);
    if (slot == NULL) {
        velo_os_close(dirfd);
        return -ESTALE;
    }
    int to;
    if ((flags & VELO_FLUSH_WAIT) != 0)
        velo_tether_wait(region);
    if (velo_is_name(job->existing)) {
        to = link_existing(region, job, dirfd, temporary);
    } else {
        from = open_backing(region, job);
        const int ours = (flags & VELO_FLUSH_OURS) != 0;
        current = from >= 0 && (ours || velo_nobody_writes(from));
        if (current && !ours && velo_is_cut(region, job->node, from)) {
            velo_os_close(from);
            from = -ENODATA;
        }
        to = from < 0 ? from : copy_to_temporary(region, job, from, dirfd, temporary, flags);
        current = current && (ours || velo_nobody_writes(from));
    }
    int rc = to < 0 ? (to == -ENOENT ? -ESTALE : to) : 0;
    if (rc == 0 && current && !still_version(region, job))
        rc = -ESTALE;
    if (rc == 0)
        rc = begin_rename(region, job);
    if (rc == 0) {
        rc = into_place(region, job, to, dirfd, temporary, (flags & VELO_FLUSH_WAIT) != 0);
        const int unseen = finish_rename(region, job, rc == 0 ? to : -1, current);
        if (rc == 0)
            rc = unseen;
    }
    if (to >= 0) {
        if (rc != 0 && !job->unnamed)
            velo_temporary_remove(region, job->parent, dirfd, temporary);
        if (rc != 0 && velo_is_name(job->existing))
            existing_was_linked(region, job, to);
        velo_os_close(to);
    }
    velo_temporary_end(slot);
    if (from >= 0)
        velo_os_close(from);
    velo_os_close(dirfd);
    return rc != 0 ? rc : !current;
}

/* If we put the file, we would open and close it, which ends the locks that this process has there. Or the
 * disk refuses us what the process that wrote the file may do. */
static int writeback_by_shard(struct velo_region *region, velo_node_id index)
{
    struct velo_node *node = velo_node_at(region, index);
    struct velo_hold hold;
    if (region->ask != NULL)
        region->ask(region, VELO_ASK_WRITEBACK, VELO_READ(node->home), index.slot);
    velo_begin(region, &hold);
    const int done = velo_on_disk(region, node);
    velo_commit(region, &hold);
    return !done;
}

int velo_writeback(struct velo_region *region, velo_node_id node, unsigned flags)
{
    struct job job;
    uint32_t snapshots = 0, waits = 0;
    if (VELO_READ(velo_node_at(region, node)->state) ==
        VELO_DISK) /* its bytes are written there anyway */
        return 0;
    if (velo_has_program_lease(region, node))
        return 1;
    if (velo_keeps_lock(region, node))
        return writeback_by_shard(region, node);
    for (int count = 0, tries = 0; count < NAMES_A_FILE_MAX; count++) {
        if (!next_job(region, node, snapshots, &job))
            break;
        job.unnamed = job.unnamed && !velo_is_name(job.existing) && tries == 0 &&
                      !velo_is_watched(region, job.parent);
        const int rc = run_job(region, &job, flags);
        if (rc == -EBUSY) {
            if (++waits == VELO_WRITER_WAITS_MAX)
                return -EBUSY;
            velo_os_pause(VELO_WRITER_PAUSE_NS);
            count--;
            continue;
        }
        if (rc == -ESTALE && ++tries < TRIES_A_NAME)
            continue;
        if (rc == -ESTALE)
            return 1; /* it changes faster than we copy: next time */
        if ((rc == -EACCES || rc == -EPERM) && region->ask != NULL)
            return writeback_by_shard(region, node);
        if (rc < 0)
            return rc;
        atomic_fetch_add_explicit(&region->header->writebacks, 1, memory_order_relaxed);
        snapshots += rc == 1; /* its names stay dirty: one snapshot each, then stop */
    }
    return snapshots > 0;
}

int velo_writeback_place(struct velo_region *region, struct velo_place *place)
{
    if (place->at.type != VELO_REGULAR)
        return 0;
    const int rc = velo_fetch(region, place);
    return rc != 0 ? rc : velo_writeback(region, place->at.node, 0);
}
