/* look.c - the one look through a directory outside, for symlinks in it that lead in.
 *
 * Made by the process whose path is the first to lead there, on mapped memory of its own (the caller
 * may be on a small stack); what it finds is kept for all (core/tree/links.c). A link leads in when it,
 * or a link that it leads to, names something that can be hosted, or something in a directory that is.
 *
 * In    a directory that a path of the program leads through
 * Out   VELO_LINKS or VELO_NO_LINKS, remembered
 * Never more than ENTRIES_MAX names; a directory that cannot be read, or is the kernel's own
 *       (/proc, /sys, /dev), has no links. */
#include <dirent.h>

#include "kernel/os.h"
#include "outside.h"
#include "preload/base/raw.h"

#define ENTRIES_MAX 100000u
#define FOLLOWED_MAX 8
#define DENTS_BYTES 32768u

struct look {
    struct velo_region *region;
    int fd;
    char directory[PATH_MAX]; /* its real path, ends in a slash */
    char text[PATH_MAX], target[PATH_MAX];
    char dents[DENTS_BYTES];
};

static bool is_kernels_own(const char *path)
{
    return strncmp(path, "/proc/", 6) == 0 || strncmp(path, "/sys/", 5) == 0 ||
           (strncmp(path, "/dev/", 5) == 0 && strncmp(path, "/dev/shm/", 9) != 0);
}

/* look->target instead of the last component of look->text. */
static bool go_on(struct look *look, size_t length)
{
    const size_t kept = look->target[0] == '/' ? 0 : velo_last_of(look->text);
    if (kept + length >= sizeof look->text)
        return false;
    memcpy(look->text + kept, look->target, length);
    look->text[kept + length] = 0;
    return true;
}

/* Is the directory before the last component of look->text hosted? */
static bool is_in_hosted(struct look *look)
{
    struct stat stat;
    const size_t last = velo_last_of(look->text);
    const char kept = look->text[last];
    look->text[last] = 0;
    const long rc = raw_statat(AT_FDCWD, look->text, &stat, 0);
    look->text[last] = kept;
    return rc == 0 && velo_node_of(look->region, &stat) != 0;
}

/* Does the symlink at look->text? */
static bool leads_in(struct look *look)
{
    bool elsewhere = false;
    for (int followed = 0; followed < FOLLOWED_MAX; followed++) {
        const long length =
            raw_readlink(AT_FDCWD, look->text, look->target, sizeof look->target - 1);
        if (length <= 0)
            return elsewhere && is_in_hosted(look);
        look->target[length] = 0;
        elsewhere = elsewhere || strchr(look->target, '/') != NULL;
        if (!go_on(look, (size_t)length))
            return false;
        if (velo_may_lead_in(look->region, look->text))
            return true;
    }
    return false;
}

static bool leads_in_from(struct look *look, const char *name)
{
    const size_t base = strlen(look->directory), length = strlen(name);
    if (base + length >= sizeof look->text)
        return false;
    memcpy(look->text, look->directory, base);
    memcpy(look->text + base, name, length + 1);
    return leads_in(look);
}

static bool find_links(struct look *look)
{
    bool found = false;
    for (unsigned entries = 0; entries < ENTRIES_MAX;) {
        const long got =
            velo_sys3(SYS_getdents64, look->fd, velo_word(look->dents), sizeof look->dents);
        if (got <= 0)
            break;
        for (long at = 0; at < got; entries++) {
            const struct dirent64 *entry = (const void *)(look->dents + at);
            at += entry->d_reclen;
            if ((entry->d_type != DT_LNK && entry->d_type != DT_UNKNOWN) ||
                !leads_in_from(look, entry->d_name))
                continue;
            velo_link_note(look->region, entry->d_name, strlen(entry->d_name));
            found = true;
        }
    }
    return found;
}

/* The real path of look->fd, with a slash at its end. */
static bool name_directory(struct look *look)
{
    char link[VELO_FD_PATH_MAX];
    velo_path_of_fd(VELO_SELF, look->fd, link);
    const long length = raw_readlink(AT_FDCWD, link, look->directory, sizeof look->directory - 2);
    if (length <= 0 || look->directory[0] != '/')
        return false;
    look->directory[length] = 0;
    if (look->directory[length - 1] != '/')
        strcpy(look->directory + length, "/");
    return true;
}

static struct look *look_new(struct velo_region *region)
{
    const long address = velo_os_map(sizeof(struct look));
    if (address < 0 && address > -4096)
        return NULL;
    struct look *look = (struct look *)address;
    look->region = region;
    return look;
}

static void look_free(struct look *look)
{
    velo_os_unmap(velo_word(look), sizeof *look);
}

static bool look_through(struct velo_region *region, int at, const char *directory)
{
    struct look *look = look_new(region);
    if (look == NULL)
        return false;
    const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
    look->fd = (int)raw_openat(at, directory, flags | O_NOATIME, 0);
    if (look->fd == -EPERM) /* not ours: its atime may move, once */
        look->fd = (int)raw_openat(at, directory, flags, 0);
    bool found = false;
    if (look->fd >= 0) {
        found = name_directory(look) && !is_kernels_own(look->directory) && find_links(look);
        raw_close(look->fd);
    }
    look_free(look);
    return found;
}

bool velo_look_outside(struct velo_region *region, int at, const char *directory,
                       const struct stat *stat)
{
    if (directory[0] == '/' && is_kernels_own(directory))
        return false;
    enum velo_looked is = velo_looked_find(region, stat);
    if (is == VELO_UNSEEN) {
        is = look_through(region, at, directory) ? VELO_LINKS : VELO_NO_LINKS;
        velo_looked_keep(region, stat, is);
    }
    return is == VELO_LINKS;
}

bool velo_leads_in(struct velo_region *region, const char *path)
{
    struct look *look = look_new(region);
    if (look == NULL)
        return false;
    strcpy(look->text, path);
    const bool leads = leads_in(look);
    look_free(look);
    return leads;
}
