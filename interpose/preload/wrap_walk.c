/* wrap_walk.c - functions of libc that read whole directories inside: scandir, glob, ftw, fts.
 *
 * Inside libc they call hidden aliases of opendir and stat, so each is met at its outer door:
 * scandir of a hosted directory is done here, glob is given our functions, and the tree walkers,
 * which builds hardly use, get a tree that was put on disk first. */
#include <dirent.h>
#include <fts.h>
#include <ftw.h>
#include <glob.h>
#include <stdlib.h>
#include <wordexp.h>

#include "claim.h"
#include "wrap_dir.h"

#define PUT_TIMEOUT_MS 60000u

void velo_put_tree(struct velo_region *region)
{
    struct velo_put_result result;
    velo_put_all(region, 0, PUT_TIMEOUT_MS, &result);
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

EXPORT int scandir(const char *path, struct dirent ***list, selector select, comparison compare)
{
    bool is_plain = false;
    DIR *directory = velo_opendir_at(AT_FDCWD, path, &is_plain);
    if (is_plain)
        return NEXT(scandir)(path, list, select, compare);
    return directory == NULL ? -1 : scan(directory, list, select, compare);
}
ALIAS(scandir64, scandir);

EXPORT int scandirat(int dirfd, const char *path, struct dirent ***list, selector select,
                     comparison compare)
{
    bool is_plain = false;
    DIR *directory = velo_opendir_at(dirfd, path, &is_plain);
    if (is_plain)
        return NEXT(scandirat)(dirfd, path, list, select, compare);
    return directory == NULL ? -1 : scan(directory, list, select, compare);
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

/* ---- walkers inside libc --------------------------------------------------------------------- */

static void before_walk(bool changes_directory)
{
    struct velo_region *region = velo_here();
    if (region == NULL)
        return;
    velo_put_tree(region);
    if (changes_directory)
        velo_cwd_unknowable();
}

EXPORT int wordexp(const char *restrict words, wordexp_t *restrict out, int flags)
{
    before_walk(false);
    return NEXT(wordexp)(words, out, flags);
}

EXPORT int ftw(const char *path, __ftw_func_t each, int descriptors)
{
    before_walk(false);
    return NEXT(ftw)(path, each, descriptors);
}
ALIAS(ftw64, ftw);

EXPORT int nftw(const char *path, __nftw_func_t each, int descriptors, int flags)
{
    before_walk((flags & FTW_CHDIR) != 0);
    return NEXT(nftw)(path, each, descriptors, flags);
}
ALIAS(nftw64, nftw);

EXPORT FTS *fts_open(char *const *paths, int options,
                     int (*compare)(const FTSENT **, const FTSENT **))
{
    before_walk((options & FTS_NOCHDIR) == 0);
    return NEXT(fts_open)(paths, options, compare);
}
ALIAS(fts64_open, fts_open);
