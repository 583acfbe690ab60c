/* statfs.c - which file system holds a path or a descriptor: the disk's, also while the bytes are in memory,
 * because programs will find them on disk. */
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "kernel/text.h"
#include "preload/path/claim.h"
#include "preload/base/raw.h"
#include "preload/replay/unit.h"

/* How full it is differs from moment to moment. libselinux, which many tools load, asks whether its own is mounted. */
static void tell_unit(const char *path, const void *by)
{
    static const char *const own[] = {"/sys/fs/selinux", "/selinux", NULL};
    if (velo_unit != NULL &&
        (path == NULL || velo_cannot_read_text(path) || !velo_is_one_of(path, own)))
        velo_asked_now(VELO_TAINT_LOAD, by);
}

/* Where to ask about the file system of `path`: `path` itself, or something on the same one that
 * is surely on disk, written to place->text.path. NULL with *failed set when there is no such file. */
static const char *stand_in(const char *path, struct velo_place *place, int *failed)
{
    const int claimed = velo_claim(AT_FDCWD, path, 0, place);
    if (claimed == VELO_NOT_OURS)
        return path;
    *failed = claimed < 0 ? claimed : place->at.type == VELO_NONE ? -ENOENT : 0;
    if (*failed != 0)
        return NULL;
    if (claimed == VELO_OURS && place->at.type == VELO_REGULAR)
        *failed = velo_path_of(velo_here(), place->at.root, place->text.path) < 0 ? -ENOENT : 0;
    return *failed == 0 ? place->text.path : NULL;
}

#define ASK_BELOW(call)                                                                            \
    struct velo_place place;                                                                       \
    int failed = 0;                                                                                \
    const char *there = stand_in(path, &place, &failed);                                           \
    return failed != 0 ? (int)velo_answer(failed) : call

EXPORT int statfs(const char *path, struct statfs *out)
{
    tell_unit(path, __builtin_return_address(0));
    ASK_BELOW((int)velo_answer(velo_sys2(SYS_statfs, velo_word(there), velo_word(out))));
}
ALIAS(statfs64, statfs);
ALIAS(__statfs, statfs);

EXPORT int statvfs(const char *path, struct statvfs *out)
{
    tell_unit(path, __builtin_return_address(0));
    ASK_BELOW(NEXT(statvfs)(there, out));
}
ALIAS(statvfs64, statvfs);

EXPORT long pathconf(const char *path, int name)
{
    struct velo_place place;
    struct stat file;
    int failed = 0;
    if (name == _PC_ASYNC_IO) /* the one answer that depends on what is there, not where */
        return stat(path, &file) == 0 && (S_ISREG(file.st_mode) || S_ISBLK(file.st_mode)) ? 1 : -1;
    const char *there = stand_in(path, &place, &failed);
    /* Some limits libc knows without a look at the path; of what is missing here it finds none. */
    const long limit = NEXT(pathconf)(failed != 0 ? path : there, name);
    if (limit < 0 && failed != 0 && errno == ENOENT)
        velo_answer(failed);
    return limit;
}

/* The path of some hosted directory that is there: its length, or -ENOENT. */
static int any_root(const struct velo_region *region, char path[PATH_MAX])
{
    for (uint32_t i = 0; i < velo_root_count(region); i++) {
        const char *root = velo_root_path(region, i);
        if (root != NULL)
            return (int)(stpcpy(path, root) - path);
    }
    return -ENOENT;
}

/* Cut `path` down to the hosted directory that it is in: directories below may be closed to the caller, which
 * has a descriptor. */
static void cut_to_root(struct velo_region *region, char *path)
{
    for (uint32_t i = 0; i < velo_root_count(region); i++) {
        const char *root = velo_root_path(region, i);
        const size_t length = root == NULL ? 0 : strlen(root);
        if (length != 0 && strncmp(path, root, length) == 0 &&
            (path[length] == '/' || path[length] == 0))
            path[length] = 0;
    }
}

/* The directory on disk that a hosted descriptor's file belongs to. False: not hosted, ask the
 * descriptor itself. */
static bool stand_in_fd(int fd, char path[PATH_MAX])
{
    struct velo_region *region = velo_here();
    const velo_node_id node = region == NULL ? VELO_NO_NODE : velo_node_of_fd(region, fd);
    int length = velo_is_node(node) ? velo_path_of(region, node, path) : 0;
    if (length < 0) /* unlinked: any hosted directory is on the same disk */
        length = any_root(region, path);
    if (length <= 0)
        return false;
    cut_to_root(region, path);
    return true;
}

EXPORT int fstatfs(int fd, struct statfs *out)
{
    char path[PATH_MAX];
    tell_unit(NULL, __builtin_return_address(0));
    if (stand_in_fd(fd, path))
        return (int)velo_answer(velo_sys2(SYS_statfs, velo_word(path), velo_word(out)));
    return (int)velo_answer(velo_sys2(SYS_fstatfs, fd, velo_word(out)));
}
ALIAS(fstatfs64, fstatfs);

EXPORT int fstatvfs(int fd, struct statvfs *out)
{
    char path[PATH_MAX];
    tell_unit(NULL, __builtin_return_address(0));
    return stand_in_fd(fd, path) ? NEXT(statvfs)(path, out) : NEXT(fstatvfs)(fd, out);
}
ALIAS(fstatvfs64, fstatvfs);

EXPORT long fpathconf(int fd, int name)
{
    char path[PATH_MAX];
    return name != _PC_ASYNC_IO && stand_in_fd(fd, path) ? NEXT(pathconf)(path, name)
                                                         : NEXT(fpathconf)(fd, name);
}
