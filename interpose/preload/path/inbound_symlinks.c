/* inbound_symlinks.c - the one look through a directory outside, for symlinks in it that lead in.
 *
 * The process whose path is the first to lead there looks, on mapped memory of its own (the caller may
 * be on a small stack); what it finds is kept for all (core/tree/links.c). A link leads in when its
 * text, or that of a link behind it, names something that can be hosted, or something in such.
 *
 * In    a directory that a path of the program leads through
 * Out   VELO_LINKS or VELO_NO_LINKS, remembered
 * Never more than ENTRIES_MAX names; a directory that cannot be read, or is the kernel's own
 *       (/proc, /sys, /dev), has no links. */
#include <dirent.h>

#include "kernel/dents.h"
#include "kernel/os.h"
#include "outside.h"
#include "preload/base/raw.h"
#include "inbound_symlinks.h"
#include "claim.h"

#define ENTRIES_MAX 100000u
#define FOLLOWED_MAX 8
#define DENTS_BYTES 32768u

struct search {
    struct velo_region *region;
    int fd;
    char directory[PATH_MAX]; /* its real path, ends in a slash */
    char text[PATH_MAX], target[PATH_MAX];
    _Alignas(8) char dents[DENTS_BYTES];
};

static bool is_kernels_own(const char *path)
{
    return strncmp(path, "/proc/", 6) == 0 || strncmp(path, "/sys/", 5) == 0 ||
           (strncmp(path, "/dev/", 5) == 0 && strncmp(path, "/dev/shm/", 9) != 0);
}

/* search->target instead of the last component of search->text. */
static bool go_on(struct search *search, size_t length)
{
    const size_t kept = search->target[0] == '/' ? 0 : velo_last_of(search->text);
    if (kept + length >= sizeof search->text)
        return false;
    memcpy(search->text + kept, search->target, length);
    search->text[kept + length] = 0;
    return true;
}

/* Is the directory before the last component of search->text hosted? */
static bool is_in_hosted(struct search *search)
{
    struct stat stat;
    const size_t last = velo_last_of(search->text);
    const char kept = search->text[last];
    search->text[last] = 0;
    const long rc = raw_statat(AT_FDCWD, search->text, &stat, 0);
    search->text[last] = kept;
    return rc == 0 && velo_is_node(velo_node_of(search->region, &stat));
}

/* Does the symlink at search->text? */
static bool is_inbound(struct search *search)
{
    bool elsewhere = false;
    for (int followed = 0; followed < FOLLOWED_MAX; followed++) {
        const long length =
            raw_readlink(AT_FDCWD, search->text, search->target, sizeof search->target - 1);
        if (length <= 0)
            return elsewhere && is_in_hosted(search);
        search->target[length] = 0;
        elsewhere = elsewhere || strchr(search->target, '/') != NULL;
        if (!go_on(search, (size_t)length))
            return false;
        if (velo_may_reach_hosted(search->region, search->text))
            return true;
    }
    return false;
}

static bool is_inbound_from(struct search *search, const char *name)
{
    const size_t base = strlen(search->directory), length = strlen(name);
    if (base + length >= sizeof search->text)
        return false;
    memcpy(search->text, search->directory, base);
    memcpy(search->text + base, name, length + 1);
    return is_inbound(search);
}

static bool find_links(struct search *search)
{
    bool found = false;
    struct velo_dents all = {
        .fd = search->fd, .buffer = search->dents, .size = sizeof search->dents};
    const struct velo_dent *dent;
    for (unsigned i = 0; i < ENTRIES_MAX && (dent = velo_dents_next(&all)) != NULL; i++) {
        if ((dent->type != DT_LNK && dent->type != DT_UNKNOWN) ||
            !is_inbound_from(search, dent->name))
            continue;
        velo_link_note(search->region, dent->name, strlen(dent->name));
        found = true;
    }
    return found;
}

/* The real path of search->fd, with a slash at its end. */
static bool name_directory(struct search *search)
{
    char link[VELO_FD_PATH_MAX];
    velo_path_of_fd(VELO_SELF, search->fd, link);
    const long length =
        raw_readlink(AT_FDCWD, link, search->directory, sizeof search->directory - 2);
    if (length <= 0 || search->directory[0] != '/')
        return false;
    search->directory[length] = 0;
    if (search->directory[length - 1] != '/')
        strcpy(search->directory + length, "/");
    return true;
}

static struct search *scan_new(struct velo_region *region)
{
    struct search *search = velo_os_memory(sizeof *search);
    if (search != NULL)
        search->region = region;
    return search;
}

static void scan_free(struct search *search)
{
    velo_os_unmap(search, sizeof *search);
}

static bool scan_for_links(struct velo_region *region, int at, const char *directory)
{
    struct search *search = scan_new(region);
    if (search == NULL)
        return false;
    const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
    search->fd = (int)raw_openat(at, directory, flags | O_NOATIME, 0);
    if (search->fd == -EPERM) /* not ours: its atime may move, once */
        search->fd = (int)raw_openat(at, directory, flags, 0);
    bool found = false;
    if (search->fd >= 0) {
        found = name_directory(search) && !is_kernels_own(search->directory) && find_links(search);
        raw_close(search->fd);
    }
    scan_free(search);
    return found;
}

bool velo_scan_outside(struct velo_region *region, int at, const char *directory,
                       const struct stat *stat)
{
    if (directory[0] == '/' && is_kernels_own(directory))
        return false;
    enum velo_scanned is = velo_scanned_find(region, stat);
    if (is == VELO_UNSEEN) {
        is = scan_for_links(region, at, directory) ? VELO_LINKS : VELO_NO_LINKS;
        velo_scanned_keep(region, stat, is);
    }
    return is == VELO_LINKS;
}

bool velo_is_inbound(struct velo_region *region, const char *path)
{
    struct search *search = scan_new(region);
    if (search == NULL)
        return false;
    strcpy(search->text, path);
    const bool inbound = is_inbound(search);
    scan_free(search);
    return inbound;
}
