/* magic_links.c - what a process has open, its directory and its root: by number, and by links of /proc.
 *
 * In    a descriptor, or a text that begins with /proc or /dev
 * Out   the hosted file or directory that it leads to, or the descriptor that the rest starts from
 * Never what such a link says of itself: the kernel is asked where it leads */
#include "magic_links.h"

#include "kernel/text.h"
#include "preload/base/raw.h"

velo_node_id velo_node_of_fd(struct velo_region *region, int fd)
{
    struct stat stat;
    return raw_fstat(fd, &stat) == 0 ? velo_node_of(region, &stat) : VELO_NO_NODE;
}

int velo_place_of_node(struct velo_region *region, velo_node_id node, struct velo_place *place)
{
    char path[PATH_MAX];
    const int length = velo_path_of(region, node, path);
    return length < 0 ? length : velo_walk(region, path, VELO_WALK_NOFOLLOW, place);
}

/* The number up to `end`, or -1. */
static int digits(const char *text, char end)
{
    int value = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9' && value < 100000000; at++)
        value = value * 10 + (*at - '0');
    return at > text && *at == end ? value : -1;
}

/* What follows "/proc/self/" in other spellings, too, or NULL. */
static const char *of_ourselves(const char *path)
{
    if (strncmp(path, "/proc/", 6) != 0)
        return NULL;
    const char *who = path + 6, *end = strchr(who, '/');
    if (end == NULL)
        return NULL;
    if (strncmp(who, "self/", 5) != 0 && strncmp(who, "thread-self/", 12) != 0 &&
        digits(who, '/') != velo_sys0(SYS_getpid))
        return NULL;
    return end + 1;
}

int velo_fd_of_path(const char *path)
{
    static const char *const standard[] = {"stdin", "stdout", "stderr"};
    if (strncmp(path, "/dev/fd/", 8) == 0)
        return digits(path + 8, 0);
    if (strncmp(path, "/dev/std", 8) == 0)
        for (int fd = 0; fd < 3; fd++)
            if (strcmp(path + 5, standard[fd]) == 0)
                return fd;
    const char *of = of_ourselves(path);
    return of != NULL && strncmp(of, "fd/", 3) == 0 ? digits(of + 3, 0) : -1;
}

const char *velo_behind_magic_link(const char *path, int *fd)
{
    const char *of = strncmp(path, "/dev/fd/", 8) == 0 ? path + 5 : of_ourselves(path);
    if (of == NULL)
        return NULL;
    if (strncmp(of, "cwd/", 4) == 0) {
        *fd = AT_FDCWD;
        of += 4;
    } else if (strncmp(of, "fd/", 3) == 0 && (*fd = digits(of + 3, '/')) >= 0) {
        of = strchr(of + 3, '/') + 1;
    } else {
        return NULL;
    }
    while (*of == '/')
        of++;
    return *of == 0 ? NULL : of;
}

void velo_path_of_fd(pid_t pid, int fd, char out[VELO_FD_PATH_MAX])
{
    char *end = stpcpy(out, "/proc/");
    if (pid == VELO_SELF)
        end = stpcpy(end, "self");
    else
        end += velo_write_decimal(end, (uint64_t)pid);
    velo_write_decimal(stpcpy(end, "/fd/"), (uint64_t)fd);
}

/* "/proc/self/fd/N" of a hosted file that has a name: that is what is opened, asked or changed. */
static bool claim_file(struct velo_region *region, const char *path, struct velo_place *place)
{
    const int fd = velo_fd_of_path(path);
    const velo_node_id node = fd < 0 ? VELO_NO_NODE : velo_node_of_fd(region, fd);
    return velo_is_node(node) && velo_place_of_node(region, node, place) == 0 &&
           place->at.type == VELO_REGULAR;
}

/* Of any process, and whatever comes after the link; another process's file is opened as what it is. */
static bool may_be_directory(const char *path)
{
    return strstr(path, "/cwd") != NULL || strstr(path, "/root") != NULL ||
           strstr(path, "/fd/") != NULL;
}

static bool claim_directory(struct velo_region *region, const char *path, unsigned flags,
                            struct velo_place *place)
{
    struct stat stat;
    const int how = (flags & VELO_WALK_NOFOLLOW) != 0 ? AT_SYMLINK_NOFOLLOW : 0;
    if (!may_be_directory(path) || raw_statat(AT_FDCWD, path, &stat, how) != 0 ||
        !S_ISDIR(stat.st_mode))
        return false;
    const velo_node_id node = velo_node_of(region, &stat);
    return velo_is_node(node) && velo_walk_at(region, node, ".", flags, place) == 0 &&
           place->at.kind == VELO_HOSTED;
}

bool velo_claim_magic_link(struct velo_region *region, const char *path, unsigned flags,
                           struct velo_place *place)
{
    if ((flags & VELO_WALK_NOFOLLOW) == 0 && claim_file(region, path, place))
        return true;
    return (flags & VELO_WALK_LAST) == 0 && claim_directory(region, path, flags, place);
}
