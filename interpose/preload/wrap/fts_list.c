/* fts_list.c - entries of fts: made, asked what they are, gathered from a directory, sorted.
 *
 * In    a hierarchy and its current directory
 * Out   the list of what is in it, through our opendir and stat, so with files that are in memory
 * Never anything that libc's fts would not have shown, but a path that moves: see wrap/fts.h.
 *
 * Without FTS_NOCHDIR a list is made in the directory itself: a program that reads on stays there. */
#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#include "preload/base/raw.h"
#include "fts.h"
#include "fts_list.h"

static bool is_dot(const char *name)
{
    return name[0] == '.' && (name[1] == 0 || (name[1] == '.' && name[2] == 0));
}

/* ---- entries --------------------------------------------------------------------------------- */

FTSENT *velo_fts_entry(struct hierarchy *all, const char *name, size_t length)
{
    const size_t align = _Alignof(struct stat);
    const size_t named = (sizeof(FTSENT) + length + align) / align * align;
    const bool asked = !velo_fts_has(all, FTS_NOSTAT);
    FTSENT *entry = calloc(1, named + (asked ? sizeof(struct stat) : 0));
    if (entry == NULL)
        return NULL;
    memcpy(entry->fts_name, name, length);
    entry->fts_namelen = (unsigned short)length;
    entry->fts_path = all->fts.fts_path;
    entry->fts_instr = FTS_NOINSTR;
    if (asked)
        entry->fts_statp = (void *)((char *)entry + named);
    return entry;
}

void velo_fts_free(FTSENT *list)
{
    const int before = errno;
    while (list != NULL) {
        FTSENT *next = list->fts_link;
        free(list);
        list = next;
    }
    errno = before;
}

/* ---- what an entry is ------------------------------------------------------------------------ */

/* A directory that is its own ancestor, which symlinks make possible, is not entered again. */
static unsigned short directory_kind(FTSENT *entry, const struct stat *stat)
{
    entry->fts_dev = stat->st_dev;
    entry->fts_ino = stat->st_ino;
    entry->fts_nlink = stat->st_nlink;
    if (is_dot(entry->fts_name))
        return FTS_DOT;
    for (FTSENT *above = entry->fts_parent; above->fts_level >= FTS_ROOTLEVEL;
         above = above->fts_parent)
        if (above->fts_ino == stat->st_ino && above->fts_dev == stat->st_dev) {
            entry->fts_cycle = above;
            return FTS_DC;
        }
    return FTS_D;
}

unsigned short velo_fts_ask(struct hierarchy *all, FTSENT *entry, bool follows)
{
    struct stat scratch, *out = velo_fts_has(all, FTS_NOSTAT) ? &scratch : entry->fts_statp;
    follows = follows || velo_fts_has(all, FTS_LOGICAL);
    if ((follows ? stat : lstat)(entry->fts_accpath, out) != 0) {
        const int failed = errno;
        if (follows && lstat(entry->fts_accpath, out) == 0) {
            errno = 0;
            return FTS_SLNONE;
        }
        entry->fts_errno = failed;
        memset(out, 0, sizeof *out);
        return FTS_NS;
    }
    switch (out->st_mode & S_IFMT) {
    case S_IFDIR:
        return directory_kind(entry, out);
    case S_IFLNK:
        return FTS_SL;
    case S_IFREG:
        return FTS_F;
    default:
        return FTS_DEFAULT;
    }
}

/* ---- order ----------------------------------------------------------------------------------- */

FTSENT *velo_fts_sorted(const struct hierarchy *all, FTSENT *list, size_t count)
{
    if (all->fts.fts_compar == NULL || count < 2)
        return list;
    FTSENT **order = malloc(count * sizeof *order);
    if (order == NULL)
        return list; /* libc, too, goes on in any order */
    size_t used = 0;
    for (FTSENT *entry = list; entry != NULL; entry = entry->fts_link)
        order[used++] = entry;
    qsort(order, used, sizeof *order, all->fts.fts_compar);
    for (size_t i = 0; i < used; i++)
        order[i]->fts_link = i + 1 < used ? order[i + 1] : NULL;
    list = order[0];
    free(order);
    return list;
}

/* ---- the working directory ------------------------------------------------------------------- */

int velo_fts_change(const struct hierarchy *all, const FTSENT *entry, int fd, const char *path)
{
    if (velo_fts_has(all, FTS_NOCHDIR))
        return 0;
    const int opened = fd >= 0 ? fd : open(path, O_RDONLY);
    struct stat stat;
    if (opened < 0)
        return -1;
    int rc = fstat(opened, &stat);
    if (rc == 0 && (stat.st_dev != entry->fts_dev || stat.st_ino != entry->fts_ino))
        rc = (int)velo_answer(-ENOENT);
    if (rc == 0)
        rc = fchdir(opened);
    if (fd < 0)
        raw_close(opened);
    return rc;
}

int velo_fts_change_home(const struct hierarchy *all)
{
    return velo_fts_has(all, FTS_NOCHDIR) ? 0 : fchdir(all->home);
}

/* ---- the list of a directory ----------------------------------------------------------------- */

struct listing {
    struct hierarchy *all;
    FTSENT *directory, *first, *last;
    size_t count, base; /* where names begin in the path */
    long asks;          /* how many entries may be directories and are asked; -1: all */
    bool by_type;       /* the stream's type says which */
};

/* With FTS_NOSTAT only directories are asked, and no more of them than links to this one say. */
static void plan(struct listing *listing, enum velo_fts_reason reason)
{
    const bool lazy =
        velo_fts_has(listing->all, FTS_NOSTAT) && velo_fts_has(listing->all, FTS_PHYSICAL);
    const long dots = velo_fts_has(listing->all, FTS_SEEDOT) ? 0 : 2;
    listing->by_type = lazy && reason != VELO_FTS_NAMES;
    listing->asks = reason == VELO_FTS_NAMES ? 0
                    : lazy                   ? (long)listing->directory->fts_nlink - dots
                                             : -1;
}

static void probe(struct listing *listing, FTSENT *entry, unsigned char type)
{
    struct hierarchy *all = listing->all;
    const bool by_path = velo_fts_has(all, FTS_NOCHDIR);
    entry->fts_accpath = by_path ? entry->fts_path : entry->fts_name;
    entry->fts_info = FTS_NSOK;
    if (listing->asks == 0 || (listing->by_type && type != DT_DIR && type != DT_UNKNOWN))
        return;
    if (by_path)
        memcpy(all->fts.fts_path + listing->base, entry->fts_name, entry->fts_namelen + 1u);
    entry->fts_info = velo_fts_ask(all, entry, false);
    const bool is_directory =
        entry->fts_info == FTS_D || entry->fts_info == FTS_DC || entry->fts_info == FTS_DOT;
    if (listing->asks > 0 && is_directory)
        listing->asks--;
}

/* 0, or an errno that ends the walk. */
static int add(struct listing *listing, const struct dirent *found)
{
    const size_t length = strlen(found->d_name);
    if (listing->base + length >= USHRT_MAX)
        return ENAMETOOLONG;
    FTSENT *entry = velo_fts_entry(listing->all, found->d_name, length);
    if (entry == NULL)
        return ENOMEM;
    entry->fts_level = (short)(listing->directory->fts_level + 1);
    entry->fts_parent = listing->directory;
    entry->fts_pathlen = (unsigned short)(listing->base + length);
    probe(listing, entry, found->d_type);
    if (listing->first == NULL)
        listing->first = entry;
    else
        listing->last->fts_link = entry;
    listing->last = entry;
    listing->count++;
    return 0;
}

static int add_all(struct listing *listing, DIR *stream)
{
    const bool with_dots = velo_fts_has(listing->all, FTS_SEEDOT);
    const struct dirent *found;
    int failed = 0;
    while (failed == 0 && (found = readdir(stream)) != NULL)
        if (with_dots || !is_dot(found->d_name))
            failed = add(listing, found);
    return failed;
}

/* The same with the path: names are asked by it where the directory was not entered. What it is
 * afterwards, a slash at its end when there were names, is libc's way. */
static int add_by_path(struct listing *listing, DIR *stream)
{
    char *path = listing->all->fts.fts_path;
    if (!velo_fts_has(listing->all, FTS_NOCHDIR))
        return add_all(listing, stream);
    path[listing->base - 1] = '/';
    const int failed = add_all(listing, stream);
    path[listing->count == 0 ? listing->base - 1 : listing->base] = 0;
    return failed;
}

/* Nothing more can be read. */
static FTSENT *stop(struct listing *listing, int failed)
{
    velo_fts_free(listing->first);
    listing->directory->fts_info = FTS_ERR;
    listing->all->fts.fts_options |= FTS_STOP;
    errno = failed;
    return NULL;
}

static int leave(const struct hierarchy *all, const FTSENT *directory)
{
    return directory->fts_level == FTS_ROOTLEVEL
               ? velo_fts_change_home(all)
               : velo_fts_change(all, directory->fts_parent, -1, "..");
}

/* Nothing in it, or it was not to be entered. */
static FTSENT *nothing(FTSENT *directory, enum velo_fts_reason reason)
{
    if (reason == VELO_FTS_READ)
        directory->fts_info = FTS_DP;
    return NULL;
}

static FTSENT *read_stream(struct listing *listing, DIR *stream, enum velo_fts_reason reason)
{
    FTSENT *directory = listing->directory;
    const bool enters = listing->asks != 0 || reason == VELO_FTS_READ;
    if (enters && velo_fts_change(listing->all, directory, dirfd(stream), NULL) != 0) {
        if (listing->asks != 0 && reason == VELO_FTS_READ)
            directory->fts_errno = errno;
        directory->fts_flags |= FTS_DONTCHDIR;
        closedir(stream);
        return nothing(directory, reason);
    }
    const int failed = add_by_path(listing, stream);
    closedir(stream);
    if (failed != 0)
        return stop(listing, failed);
    const bool stays = listing->count != 0 && reason == VELO_FTS_READ;
    if (enters && !stays && leave(listing->all, directory) != 0)
        return stop(listing, errno);
    if (listing->count == 0)
        return nothing(directory, reason);
    return velo_fts_sorted(listing->all, listing->first, listing->count);
}

FTSENT *velo_fts_list(struct hierarchy *all, enum velo_fts_reason reason)
{
    FTSENT *directory = all->fts.fts_cur;
    DIR *stream = opendir(directory->fts_accpath);
    if (stream == NULL) {
        if (reason == VELO_FTS_READ) {
            directory->fts_info = FTS_DNR;
            directory->fts_errno = errno;
        }
        return NULL;
    }
    struct listing listing = {.all = all, .directory = directory};
    listing.base = velo_fts_base(directory);
    plan(&listing, reason);
    return read_stream(&listing, stream, reason);
}
