/* ftw.c - ftw and nftw, over names in memory, too.
 *
 * libc's own call hidden aliases of opendir and stat, in front of which no library can stand. So in an
 * attached process the walk is done here, over our functions, whatever tree it is: one that begins
 * outside may lead into a hosted directory. Everything that a program can see of it is as in libc,
 * oddities included: a working directory that cannot be opened makes nftw return 0, and "/" after
 * its contents is called "".
 *
 * In    a path, and the program's function
 * Out   a call of it for each name
 * Never more open directories than the program allowed: the outermost one is read to its end, and
 *       closed, when another is to be opened.
 *
 * Like libc's, these functions allocate; they are not for signal handlers. */
#include <dirent.h>
#include <ftw.h>
#include <search.h>
#include <stdlib.h>
#include <unistd.h>

#include "preload/base/preload.h"
#include "preload/base/raw.h"
#include "preload/replay/unit.h"

/* A directory that is being walked. */
struct level {
    struct level *inner; /* the one inside it that is being walked */
    DIR *stream;         /* NULL: it was read to its end */
    char *rest; /* then the names that are left, one behind the other, and an empty one */
};

struct walk {
    __ftw_func_t ftw; /* one of these two is the program's, the other NULL */
    __nftw_func_t nftw;
    int flags;
    dev_t device; /* where it began (FTW_MOUNT) */
    int open_count, open_max;
    struct level *outermost; /* of those with an open stream; deeper ones have one, too */
    void *known; /* directories met, a tree of struct identity; not with FTW_PHYS */
    char *path; /* what the program is told */
    size_t size; /* of its memory */
    struct FTW at;
};

struct identity {
    dev_t device;
    ino_t inode;
};

static void free_quietly(void *memory)
{
    const int before = errno;
    free(memory);
    errno = before;
}

static int tell(struct walk *walk, const struct stat *stat, int kind)
{
    static const int of_ftw[] = {[FTW_F] = FTW_F,   [FTW_D] = FTW_D,  [FTW_DNR] = FTW_DNR,
                                 [FTW_NS] = FTW_NS, [FTW_SL] = FTW_F, [FTW_DP] = FTW_D,
                                 [FTW_SLN] = FTW_NS};
    return walk->ftw != NULL ? walk->ftw(walk->path, stat, of_ftw[kind])
                             : walk->nftw(walk->path, stat, kind, &walk->at);
}

/* ---- directories met ------------------------------------------------------------------------- */

static int by_identity(const void *left, const void *right)
{
    const struct identity *one = left, *other = right;
    if (one->inode != other->inode)
        return one->inode > other->inode ? 1 : -1;
    return (one->device > other->device) - (one->device < other->device);
}

/* 1 when `stat` is met for the first time, 0 when it was met, -1 without memory. */
static int meet(struct walk *walk, const struct stat *stat)
{
    struct identity *new = malloc(sizeof *new);
    if (new == NULL)
        return -1;
    *new = (struct identity){stat->st_dev, stat->st_ino};
    struct identity *const *found = tsearch(new, &walk->known, by_identity);
    if (found != NULL && *found == new)
        return 1;
    free_quietly(new);
    return found == NULL ? -1 : 0;
}

/* ---- streams --------------------------------------------------------------------------------- */

/* How to reach the last name of walk->path, which is in `outer`: a descriptor, and *name from it. */
static int way_to(const struct walk *walk, const struct level *outer, const char **name)
{
    *name = walk->path + walk->at.base;
    if (outer != NULL && outer->stream != NULL)
        return dirfd(outer->stream);
    if ((walk->flags & FTW_CHDIR) == 0)
        *name = walk->path;
    else if (**name == 0) /* of "/" */
        *name = ".";
    return AT_FDCWD;
}

/* The names that `stream` has not given yet, or NULL without memory. */
static char *gather_rest(DIR *stream)
{
    size_t used = 0, size = 1024;
    char *rest = malloc(size);
    const struct dirent *entry;
    while (rest != NULL && (entry = readdir(stream)) != NULL) {
        const size_t length = strlen(entry->d_name) + 1;
        if (used + length + 1 > size) {
            size = 2 * size + length;
            char *grown = realloc(rest, size);
            if (grown == NULL)
                free_quietly(rest);
            rest = grown;
        }
        if (rest != NULL)
            memcpy(rest + used, entry->d_name, length);
        used += length;
    }
    if (rest != NULL)
        rest[used] = 0;
    return rest;
}

static int make_room(struct walk *walk)
{
    struct level *level = walk->outermost;
    if (walk->open_count < walk->open_max)
        return 0;
    level->rest = gather_rest(level->stream);
    if (level->rest == NULL)
        return -1;
    closedir(level->stream);
    level->stream = NULL;
    walk->outermost = level->inner;
    walk->open_count--;
    return 0;
}

static DIR *open_stream(const struct walk *walk, const struct level *outer)
{
    const char *name;
    const int at = way_to(walk, outer, &name);
    if (at == AT_FDCWD)
        return opendir(name);
    const int fd = openat(at, name, O_RDONLY | O_NONBLOCK | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    if (fd >= 0 && stream == NULL)
        raw_close(fd);
    return stream;
}

static int open_level(struct walk *walk, struct level *outer, struct level *level)
{
    if (make_room(walk) != 0)
        return -1;
    level->stream = open_stream(walk, outer);
    if (level->stream == NULL)
        return -1;
    walk->open_count++;
    if (walk->outermost == NULL)
        walk->outermost = level;
    if (outer != NULL)
        outer->inner = level;
    return 0;
}

static void close_level(struct walk *walk, struct level *level)
{
    const int before = errno;
    closedir(level->stream);
    errno = before;
    walk->open_count--;
    if (walk->outermost == level)
        walk->outermost = NULL;
}

/* ---- names ----------------------------------------------------------------------------------- */

static int visit_directory(struct walk *walk, struct level *outer, const struct stat *stat);

static int append(struct walk *walk, const char *name)
{
    const size_t base = (size_t)walk->at.base, length = strlen(name) + 1;
    if (base + length >= walk->size) {
        char *grown = realloc(walk->path, 2 * (base + length));
        if (grown == NULL)
            return -1;
        walk->path = grown;
        walk->size = 2 * (base + length);
    }
    memcpy(walk->path + base, name, length);
    return 0;
}

static int kind_of(const struct stat *stat)
{
    return S_ISDIR(stat->st_mode) ? FTW_D : S_ISLNK(stat->st_mode) ? FTW_SL : FTW_F;
}

/* The kind of the last name of the path, and its attributes; -1 when the walk ends here. */
static int probe(const struct walk *walk, const struct level *level, struct stat *stat)
{
    const bool follows = (walk->flags & FTW_PHYS) == 0;
    const char *name;
    const int at = way_to(walk, level, &name);
    if (fstatat(at, name, stat, follows ? 0 : AT_SYMLINK_NOFOLLOW) == 0)
        return kind_of(stat);
    if (errno != EACCES && errno != ENOENT)
        return -1;
    if (follows && fstatat(at, name, stat, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(stat->st_mode))
        return FTW_SLN;
    return FTW_NS;
}

static int visit(struct walk *walk, struct level *level, const char *name)
{
    if (name[0] == '.' && (name[1] == 0 || (name[1] == '.' && name[2] == 0)))
        return 0;
    struct stat stat;
    memset(&stat, 0, sizeof stat);
    const int kind = append(walk, name) != 0 ? -1 : probe(walk, level, &stat);
    if (kind < 0)
        return -1;
    if (kind != FTW_NS && (walk->flags & FTW_MOUNT) != 0 && stat.st_dev != walk->device)
        return 0;
    if (kind != FTW_D)
        return tell(walk, &stat, kind);
    const int is_new = (walk->flags & FTW_PHYS) != 0 ? 1 : meet(walk, &stat);
    return is_new == 1 ? visit_directory(walk, level, &stat) : is_new;
}

static int visit_and_check(struct walk *walk, struct level *level, const char *name)
{
    const int result = visit(walk, level, name);
    const bool skipped = (walk->flags & FTW_ACTIONRETVAL) != 0 && result == FTW_SKIP_SUBTREE;
    return skipped ? 0 : result;
}

/* All of `level`, whose stream may be taken away under way, by make_room. */
static int visit_names(struct walk *walk, struct level *level)
{
    int result = 0;
    const struct dirent *entry;
    while (result == 0 && level->stream != NULL && (entry = readdir(level->stream)) != NULL)
        result = visit_and_check(walk, level, entry->d_name);
    if (level->stream != NULL) {
        close_level(walk, level);
        return result;
    }
    for (const char *name = level->rest; result == 0 && *name != 0; name += strlen(name) + 1)
        result = visit_and_check(walk, level, name);
    free_quietly(level->rest);
    return result;
}

/* ---- directories ----------------------------------------------------------------------------- */

static void step_in(struct walk *walk)
{
    size_t end = strlen(walk->path);
    if (walk->path[end - 1] != '/')
        walk->path[end++] = '/';
    walk->at.base = (int)end;
    walk->at.level++;
}

static void step_out(struct walk *walk, int base)
{
    walk->path[walk->at.base - 1] = 0;
    walk->at.base = base;
    walk->at.level--;
}

/* Is there more to come after this result? */
static bool goes_on(const struct walk *walk, int result)
{
    return result == 0 ||
           ((walk->flags & FTW_ACTIONRETVAL) != 0 && result != -1 && result != FTW_STOP);
}

static int change_back(const struct walk *walk, const struct level *outer)
{
    if (outer->stream != NULL && fchdir(dirfd(outer->stream)) == 0)
        return 0;
    return chdir(walk->at.base == 1 ? "/" : "..");
}

static int enter(struct walk *walk, struct level *level, const struct stat *stat)
{
    int result = (walk->flags & FTW_DEPTH) != 0 ? 0 : tell(walk, stat, FTW_D);
    if (result == 0 && (walk->flags & FTW_CHDIR) != 0)
        result = fchdir(dirfd(level->stream));
    if (result != 0)
        close_level(walk, level);
    return result;
}

static int visit_directory(struct walk *walk, struct level *outer, const struct stat *stat)
{
    struct level level = {NULL, NULL, NULL};
    const int base = walk->at.base;
    if (open_level(walk, outer, &level) != 0)
        return errno == EACCES ? tell(walk, stat, FTW_DNR) : -1;
    int result = enter(walk, &level, stat);
    if (result != 0)
        return result;
    step_in(walk);
    result = visit_names(walk, &level);
    if ((walk->flags & FTW_ACTIONRETVAL) != 0 && result == FTW_SKIP_SIBLINGS)
        result = 0;
    step_out(walk, base);
    if (result == 0 && (walk->flags & FTW_DEPTH) != 0)
        result = tell(walk, stat, FTW_DP);
    const bool back = outer != NULL && (walk->flags & FTW_CHDIR) != 0 && goes_on(walk, result);
    return back && change_back(walk, outer) != 0 ? -1 : result;
}

/* ---- the start ------------------------------------------------------------------------------- */

static int begin(struct walk *walk)
{
    struct stat stat;
    const int kind = probe(walk, NULL, &stat);
    int result = -1;
    if (kind == FTW_SLN &&
        errno == EACCES) /* where it leads cannot be asked: not a name for libc */
        return -1;
    if (kind == FTW_D) {
        walk->device = stat.st_dev;
        const bool may = (walk->flags & FTW_PHYS) != 0 || meet(walk, &stat) == 1;
        result = may ? visit_directory(walk, NULL, &stat) : -1;
    } else if (kind >= 0 && kind != FTW_NS) {
        result = tell(walk, &stat, kind);
    }
    const bool skips = result == FTW_SKIP_SUBTREE || result == FTW_SKIP_SIBLINGS;
    return skips && (walk->flags & FTW_ACTIONRETVAL) != 0 ? 0 : result;
}

/* To the directory that the start is in. */
static int change_to_start(struct walk *walk)
{
    const int base = walk->at.base;
    if (base <= 1)
        return base == 0 ? 0 : chdir("/");
    walk->path[base - 1] = 0;
    const int rc = chdir(walk->path);
    walk->path[base - 1] = '/';
    return rc;
}

/* FTW_CHDIR: go there, walk, come back. */
static int begin_elsewhere(struct walk *walk)
{
    const int fd = open(".", O_RDONLY | O_DIRECTORY);
    char *home = fd < 0 && errno == EACCES ? getcwd(NULL, 0) : NULL;
    if (fd < 0 && home == NULL)
        return 0; /* so says libc */
    if (fd >= 0 && walk->open_max > 1)
        walk->open_max--;
    const int result = change_to_start(walk) != 0 ? -1 : begin(walk);
    const int before = errno;
    (void)(fd < 0 ? chdir(home) : fchdir(fd));
    if (fd >= 0)
        raw_close(fd);
    free(home);
    errno = before;
    return result;
}

static int walk_tree(struct walk *walk, const char *path, int descriptors)
{
    size_t length = strlen(path);
    if (length == 0)
        return (int)velo_answer(-ENOENT);
    walk->open_max = descriptors < 1 ? 1 : descriptors;
    walk->size = 2 * length < PATH_MAX ? PATH_MAX : 2 * length;
    walk->path = malloc(walk->size);
    if (walk->path == NULL)
        return -1;
    while (length > 1 && path[length - 1] == '/')
        length--;
    memcpy(walk->path, path, length);
    walk->path[length] = 0;
    while (length > 0 && path[length - 1] != '/')
        length--;
    walk->at.base = (int)length;
    const int result = (walk->flags & FTW_CHDIR) != 0 ? begin_elsewhere(walk) : begin(walk);
    const int before = errno;
    tdestroy(walk->known, free);
    free(walk->path);
    errno = before;
    return result;
}

EXPORT int ftw(const char *path, __ftw_func_t each, int descriptors)
{
    velo_taint(VELO_TAINT_LISTED);
    if (velo_here() == NULL)
        return NEXT(ftw)(path, each, descriptors);
    struct walk walk = {.ftw = each};
    return walk_tree(&walk, path, descriptors);
}
ALIAS(ftw64, ftw);

EXPORT int nftw(const char *path, __nftw_func_t each, int descriptors, int flags)
{
    velo_taint(VELO_TAINT_LISTED);
    velo_taint(VELO_TAINT_LISTED);
    if (velo_here() == NULL)
        return NEXT(nftw)(path, each, descriptors, flags);
    if ((flags & ~(FTW_PHYS | FTW_MOUNT | FTW_CHDIR | FTW_DEPTH | FTW_ACTIONRETVAL)) != 0)
        return (int)velo_answer(-EINVAL);
    struct walk walk = {.nftw = each, .flags = flags};
    return walk_tree(&walk, path, descriptors);
}
ALIAS(nftw64, nftw);
