/* walk.c - functions of libc that read whole directories inside: scandir, glob, wordexp.
 *
 * Inside libc they call hidden aliases of opendir and stat, so each is met at its outer door: scandir
 * of a hosted directory is done here, and glob is given our functions. wordexp, which builds hardly
 * use, gets a tree that was put on disk first. */
#include <dirent.h>
#include <glob.h>
#include <stdlib.h>
#include <wordexp.h>

#include "preload/path/claim.h"
#include "preload/replay/unit.h"
#include "dir.h"
#include "walk.h"

#define FLUSH_TIMEOUT_MS 60000u

void velo_flush_tree(struct velo_region *region)
{
    struct velo_flush_result result;
    velo_flush_cold(region);
    velo_flush(region, 0, FLUSH_TIMEOUT_MS, &result);
    velo_escape(region, VELO_ESCAPE_SYSCALL);
}

/* ---- scandir --------------------------------------------------------------------------------- */

typedef int (*selector)(const struct dirent *entry);
typedef int (*comparison)(const struct dirent **a, const struct dirent **b);

struct gathered {
    struct dirent **entries;
    size_t count, size;
};

static int gather_one(struct gathered *all, const struct dirent *entry)
{
    if (all->count == all->size) {
        const size_t size = all->size == 0 ? 16 : all->size * 2;
        struct dirent **grown = realloc(all->entries, size * sizeof *grown);
        if (grown == NULL)
            return -ENOMEM;
        all->entries = grown;
        all->size = size;
    }
    struct dirent *copy = malloc(entry->d_reclen);
    if (copy == NULL)
        return -ENOMEM;
    memcpy(copy, entry, entry->d_reclen);
    all->entries[all->count++] = copy;
    return 0;
}

static int gather(DIR *directory, selector select, struct gathered *all)
{
    const struct dirent *entry;
    int rc = 0;
    while (rc == 0 && (entry = readdir(directory)) != NULL)
        if (select == NULL || select(entry) != 0)
            rc = gather_one(all, entry);
    return rc;
}

static int scan(DIR *directory, struct dirent ***list, selector select, comparison compare)
{
    struct gathered all = {NULL, 0, 0};
    const int rc = gather(directory, select, &all);
    closedir(directory);
    if (rc != 0) {
        while (all.count > 0)
            free(all.entries[--all.count]);
        free(all.entries);
        return (int)velo_answer(rc);
    }
    if (compare != NULL && all.count > 1)
        qsort(all.entries, all.count, sizeof *all.entries,
              (int (*)(const void *, const void *))compare);
    *list = all.entries;
    return (int)all.count;
}

static int seen(int dirfd, const char *path, int count)
{
    velo_saw_errno(VELO_RECORD_LIST, dirfd, path, count < 0 ? -1 : 0);
    return count;
}

EXPORT int scandir(const char *path, struct dirent ***list, selector select, comparison compare)
{
    bool is_plain = false;
    DIR *directory = velo_opendir_at(AT_FDCWD, path, &is_plain);
    if (is_plain)
        return seen(AT_FDCWD, path, NEXT(scandir)(path, list, select, compare));
    return seen(AT_FDCWD, path, directory == NULL ? -1 : scan(directory, list, select, compare));
}
ALIAS(scandir64, scandir);

EXPORT int scandirat(int dirfd, const char *path, struct dirent ***list, selector select,
                     comparison compare)
{
    bool is_plain = false;
    DIR *directory = velo_opendir_at(dirfd, path, &is_plain);
    if (is_plain)
        return seen(dirfd, path, NEXT(scandirat)(dirfd, path, list, select, compare));
    return seen(dirfd, path, directory == NULL ? -1 : scan(directory, list, select, compare));
}
ALIAS(scandirat64, scandirat);

/* ---- glob ------------------------------------------------------------------------------------ */

EXPORT int glob(const char *restrict pattern, int flags, int (*failed)(const char *, int),
                glob_t *restrict out)
{
    if (velo_here() == NULL || (flags & GLOB_ALTDIRFUNC) != 0 || out == NULL)
        return NEXT(glob)(pattern, flags, failed, out);
    out->gl_opendir = (void *(*)(const char *))(void (*)(void))opendir;
    out->gl_readdir = (struct dirent * (*)(void *))(void (*)(void))readdir;
    out->gl_closedir = (void (*)(void *))(void (*)(void))closedir;
    out->gl_stat = stat;
    out->gl_lstat = lstat;
    const int rc = NEXT(glob)(pattern, flags | GLOB_ALTDIRFUNC, failed, out);
    out->gl_flags &= ~GLOB_ALTDIRFUNC;
    return rc;
}
ALIAS(glob64, glob);

/* ---- wordexp --------------------------------------------------------------------------------- */

/* libc expands patterns by a glob in front of which no library can stand; words without patterns need none.
 * What a variable or a command gives can be a pattern. */
EXPORT int wordexp(const char *restrict words, wordexp_t *restrict out, int flags)
{
    struct velo_region *region = velo_here();
    velo_taint(VELO_TAINT_LISTED);
    if (region != NULL && strpbrk(words, "*?[$`") != NULL)
        velo_flush_tree(region);
    return NEXT(wordexp)(words, out, flags);
}
