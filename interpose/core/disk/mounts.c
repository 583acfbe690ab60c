/* mounts.c - what the kernel mounts at, below and of hosted directories.
 *
 * Mounted below   the name and all below it are the kernel's (mounted.c)
 * A second name   a bind mount of the directory, of one above it or of a part of it, an overlay whose
 *                 layers are such, a FUSE server that shows it: a program that comes by that name sees
 *                 the disk, and changes it. So a second name is like a program that cannot be entered
 *                 (opaque.c): the tree is on disk, and is compared, for as long as there is such a mount.
 * The same name   (`mount --bind DIR DIR`) is none of these.
 *
 * In    /proc/self/mountinfo: when hosted directories are taken in and compared, after each mount(2) and
 *       its like of a process inside, when the kernel tells shard 0 of a mount by any process, and now
 *       and then while there is a second name
 * Never on a path's way: a mount by a process outside is seen a moment later. */
#include "mounts.h"

#include <string.h>

#include "kernel/mountinfo.h"
#include "kernel/os.h"
#include "kernel/proc.h"
#include "reconcile.h"
#include "kernel/text.h"
#include "core/tree/tree.h"

#define SCAN_NS 100000000ull /* a look costs some 30 us */
#define NONE_BELOW 1u /* in mounts_below: nothing is, but something was */

/* ---- mounts that show a hosted directory ----------------------------------------------------- */

struct view { /* of one hosted directory */
    const struct velo_mounts *mounts;
    const struct velo_mount *inside_of; /* the mount that it is in, or NULL */
    const char *path;
    size_t length;
    char inside[PATH_MAX]; /* its path in that file system */
    size_t inside_length;
};

static int fill_view(struct view *view, const struct velo_mounts *mounts, const char *path,
                     size_t length)
{
    view->mounts = mounts;
    view->path = path;
    view->length = length;
    view->inside_of = velo_mount_of(mounts, view->path, view->length);
    if (view->inside_of == NULL)
        return 0;
    const size_t rest = view->length - view->inside_of->point_length;
    view->inside_length = view->inside_of->root_length + rest;
    if (view->inside_length >= sizeof view->inside)
        return 0;
    memcpy(view->inside, view->inside_of->root, view->inside_of->root_length);
    memcpy(view->inside + view->inside_of->root_length, view->path + view->inside_of->point_length,
           rest);
    return 1;
}

/* `point` and, behind it, `rest` is another path than the directory's and `behind`, and leads there: it
 * is not covered by a further mount. */
static int is_elsewhere(const struct view *view, const struct velo_mount *mount, const char *rest,
                        size_t rest_length, const char *behind)
{
    char path[PATH_MAX];
    const size_t length = mount->point_length + rest_length, more = strlen(behind);
    if (length >= sizeof path)
        return 1;
    memcpy(path, mount->point, mount->point_length);
    memcpy(path + mount->point_length, rest, rest_length);
    if (velo_mount_of(view->mounts, path, length) != mount)
        return 0;
    return length != view->length + more || memcmp(path, view->path, view->length) != 0 ||
           memcmp(path + view->length, behind, more) != 0;
}

/* Does the mount show the directory, or a part of it, by another name? */
static int is_bind(const struct view *view, const struct velo_mount *mount)
{
    if (view->inside_of == NULL || mount->device != view->inside_of->device)
        return 0;
    if (velo_text_is_below(view->inside, view->inside_length, mount->root, mount->root_length))
        return is_elsewhere(view, mount, view->inside + mount->root_length,
                            view->inside_length - mount->root_length, "");
    if (velo_text_is_below(mount->root, mount->root_length, view->inside, view->inside_length))
        return is_elsewhere(view, mount, "", 0, mount->root + view->inside_length);
    return 0;
}

/* Is `text` the next components of `path`, or the other way round? */
static int begins_like(const char *path, const char *text, size_t length)
{
    const size_t whole = strlen(path), common = whole < length ? whole : length;
    return memcmp(path, text, common) == 0 &&
           (whole == length || (whole < length ? text[whole] : path[length]) == '/');
}

/* A layer that is not named from the root, but from a directory that only the mounting process knew. The
 * layer can be the hosted directory, or above or below it, in three cases: its text goes on or ends like the
 * directory's, or it is there below the directory, or the mount is. One with ".." may be any directory. */
static int is_kin_by_name(const struct view *view, const struct velo_mount *mount, const char *text,
                          size_t length)
{
    char below[PATH_MAX];
    struct stat stat;
    if (memmem(text, length, "..", 2) != NULL ||
        velo_text_is_below(mount->point, mount->point_length, view->path, view->length))
        return 1;
    for (const char *at = view->path; at != NULL; at = strchr(at + 1, '/'))
        if (begins_like(at + 1, text, length))
            return 1;
    if (view->length + 1 + length >= sizeof below)
        return 1;
    memcpy(below, view->path, view->length);
    below[view->length] = '/';
    memcpy(below + view->length + 1, text, length);
    below[view->length + 1 + length] = 0;
    return velo_os_lstat(below, &stat) == 0;
}

/* A directory that a file system is made of is the hosted one, or lies above or below it. */
static int is_kin(const struct view *view, const struct velo_mount *mount, const char *path,
                  size_t length)
{
    while (length > 0 && path[length - 1] == '/')
        length--;
    if (length > 0 && path[0] != '/')
        return is_kin_by_name(view, mount, path, length);
    return velo_text_is_below(path, length, view->path, view->length) ||
           velo_text_is_below(view->path, view->length, path, length);
}

/* Is one of the paths kin that "NAME=" at `at` lists? Colons stand between them, escaped by a backslash. */
static int lists_kin(const struct view *view, const struct velo_mount *mount, const char *name,
                     const char *at)
{
    char path[PATH_MAX];
    for (at += strlen(name); *at != 0 && *at != ',';) {
        size_t used = 0;
        for (; *at != 0 && *at != ',' && *at != ':'; at++) {
            at += *at == '\\' && at[1] != 0;
            if (used < sizeof path)
                path[used++] = *at;
        }
        at += *at == ':';
        if (used > 0 && is_kin(view, mount, path, used))
            return 1;
    }
    return 0;
}

static int is_overlay(const struct view *view, const struct velo_mount *mount)
{
    static const char *const layers[] = {
        "lowerdir=", "lowerdir+=", "datadir+=", "upperdir=", "workdir="};
    if (strcmp(mount->type, "overlay") != 0 || mount == view->inside_of)
        return 0;
    for (const char *at = mount->options; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++)
            if (strncmp(at, layers[i], strlen(layers[i])) == 0 &&
                lists_kin(view, mount, layers[i], at))
                return 1;
    }
    return 0;
}

/* FUSE servers that show no directories of this machine, or only as something else (an archive, what
 * is encrypted): all others are taken to show any, when they do not say what. */
static const char *const strangers[] = {
    "gvfsd-fuse", "portal",    "lxcfs", "snapfuse",     "squashfuse", "squashfuse_ll",
    "sshfs",      "rclone",    "s3fs",  "gcsfuse",      "dwarfs",     "archivemount",
    "ratarmount", "gocryptfs", "encfs", "cryfs",        "curlftpfs",  "jmtpfs",
    "ifuse",      "ntfs-3g",   "davfs", "simple-mtpfs", "glusterfs",  "ceph-fuse",
};

static int is_stranger(const char *type)
{
    const char *kind = type[4] == '.' ? type + 5 : type + 4;
    const size_t length = strlen(kind);
    for (size_t i = 0; i < sizeof strangers / sizeof strangers[0]; i++)
        if (strcmp(kind, strangers[i]) == 0)
            return 1;
    return length > 9 && strcmp(kind + length - 9, ".AppImage") == 0;
}

/* Does a FUSE server say that it shows a path that is kin? Its list: paths, perhaps behind a host's name, with
 * colons between and "=RW" behind them. */
static int is_fuse(const struct view *view, const struct velo_mount *mount)
{
    int says = 0;
    if (strncmp(mount->type, "fuse", 4) != 0 || (mount->type[4] != '.' && mount->type[4] != 0) ||
        mount == view->inside_of)
        return 0;
    for (const char *at = mount->source; at != NULL; at = strchr(at, ':')) {
        at += *at == ':';
        const size_t length = strcspn(at, ":=");
        says |= at[0] == '/';
        if (at[0] == '/' && is_kin(view, mount, at, length))
            return 1;
    }
    return !says && !is_stranger(mount->type);
}

/* ---- the look -------------------------------------------------------------------------------- */

struct found {
    int second;
    uint32_t below; /* 0, or a number for those that are mounted at or below hosted directories */
};

static void scan_for_path(const struct velo_mounts *mounts, const char *path, size_t length,
                          struct view *view, struct found *found)
{
    const int known = fill_view(view, mounts, path, length);
    for (uint32_t i = 0; i < mounts->count; i++) {
        const struct velo_mount *mount = &mounts->all[i];
        if (velo_text_is_below(mount->point, mount->point_length, path, length))
            found->below = (found->below + mount->id * 2654435761u) | NONE_BELOW << 1;
        if (found->second == 0)
            found->second =
                (known && is_bind(view, mount)) || is_overlay(view, mount) || is_fuse(view, mount);
    }
}

static struct found snapshot(const struct velo_region *region, const char *path, size_t length,
                             struct view *view)
{
    const struct velo_header *header = region->header;
    struct found found = {0, 0};
    struct velo_mounts *mounts = velo_mounts_read();
    if (mounts == NULL)
        return found;
    found.second = mounts->cut;
    if (path != NULL)
        scan_for_path(mounts, path, length, view, &found);
    for (uint32_t i = 0; i < velo_roots_used(region); i++)
        if (velo_is_node(VELO_READ_ID(header->roots[i].node)))
            scan_for_path(mounts, header->roots[i].path, header->roots[i].length, view, &found);
    velo_mounts_free(mounts);
    return found;
}

/* Each time by a new number: a process that saw the end of an earlier one does not end this. */
void velo_second_name_begins(struct velo_header *header)
{
    const uint32_t token = atomic_fetch_add(&header->mounts_serial, 1) * 2 + 1; /* never 0 */
    atomic_fetch_add(&header->opaque_running,
                     1); /* before: a kill here leaves the count too high, not too low */
    velo_kill_point();
    if (atomic_exchange(&header->second_names, token) != 0)
        atomic_fetch_sub(&header->opaque_running, 1);
}

uint32_t velo_mounts_scan(struct velo_region *region, const char *path, size_t length)
{
    struct velo_header *header = region->header;
    const uint32_t token = atomic_load(&header->second_names);
    struct view *view = velo_os_memory(sizeof *view);
    if (view == NULL)
        return 0;
    const struct found found = snapshot(region, path, length, view);
    velo_os_unmap(view, sizeof *view);
    if (found.below != 0)
        atomic_store(&header->mounts_below, found.below);
    else if (velo_has_mounts(region)) /* what was found may still be marked */
        atomic_store(&header->mounts_below, NONE_BELOW);
    if (velo_has_mounts(region))
        atomic_fetch_add(&header->mounts_serial, 1);
    if (!found.second) {
        atomic_store(&header->second_counted, 0);
        return token;
    }
    velo_second_name_begins(header);
    if (atomic_exchange(&header->second_counted, 1) == 0)
        atomic_store(&header->second_flush_due, 1);
    return 0;
}

void velo_mounts_over(struct velo_region *region, uint32_t token)
{
    if (token == 0 || !atomic_compare_exchange_strong(&region->header->second_names, &token, 0))
        return;
    velo_kill_point();
    atomic_fetch_sub(&region->header->opaque_running, 1);
}

uint32_t velo_mount_changes(const struct velo_region *region)
{
    return atomic_load_explicit(&region->header->mounts_serial, memory_order_relaxed);
}

int velo_has_second_names(const struct velo_region *region)
{
    return atomic_load_explicit(&region->header->second_names, memory_order_relaxed) != 0;
}
