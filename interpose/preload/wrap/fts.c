/* fts.c - fts: a walk that a program steps through, over names in memory, too.
 *
 * As with ftw, libc's own cannot be met inside, so in an attached process the hierarchy is ours,
 * whatever tree it is of. Programs read the fields of entries and may change some of them; their
 * layout is libc's, and fts_set, which only writes one, is libc's own.
 *
 * In    paths, options, what the program asked for with fts_set
 * Out   one entry after the other, as libc's fts gives them
 * Never a hierarchy of ours given to libc, nor one of libc's taken for ours: a process may have
 *       opened one before it was attached.
 *
 * While a program looks at an entry, fts_cur is that entry. fts_parent leads to everything above it,
 * and fts_link to the entries that follow it in its directory. */
#include <fts.h>
#include <stdlib.h>
#include <unistd.h>

#include "preload/base/raw.h"
#include "preload/replay/unit.h"
#include "dir.h"
#include "fts.h"
#include "fts_list.h"

static const char hierarchy_owner;

static struct hierarchy *ours(FTS *fts)
{
    struct hierarchy *all = (void *)fts;
    if (all == NULL || all->fts.fts_rfd != VELO_NEVER_A_DESCRIPTOR)
        return NULL;
    const bool is =
        all->mark == VELO_STREAM_MARK && all->owner == &hierarchy_owner && all->self == all;
    return is ? all : NULL;
}

/* ---- opening --------------------------------------------------------------------------------- */

#define PATH_BYTES (USHRT_MAX + 1u) /* FTSENT counts in unsigned short */

typedef int (*comparison)(const FTSENT **, const FTSENT **);

static struct hierarchy *hierarchy_new(int options, comparison compare)
{
    struct hierarchy *all = calloc(1, sizeof *all);
    char *path = calloc(1, PATH_BYTES);
    if (all == NULL || path == NULL) {
        free(all);
        free(path);
        return NULL;
    }
    all->fts = (FTS){.fts_path = path,
                     .fts_pathlen = (int)PATH_BYTES,
                     .fts_rfd = VELO_NEVER_A_DESCRIPTOR,
                     .fts_compar = (int (*)(const void *, const void *))(void (*)(void))compare,
                     .fts_options = options};
    if ((options & FTS_LOGICAL) != 0) /* ".." of what a symlink led to is somewhere else */
        all->fts.fts_options |= FTS_NOCHDIR;
    all->mark = VELO_STREAM_MARK;
    all->owner = &hierarchy_owner;
    all->self = all;
    all->home = -1;
    return all;
}

static void hierarchy_free(struct hierarchy *all)
{
    const int before = errno;
    all->self = NULL;
    all->owner = NULL;
    free(all->fts.fts_path);
    free(all);
    errno = before;
}

/* The entry of a path that fts_open was given, or NULL and errno. */
static FTSENT *root(struct hierarchy *all, FTSENT *parent, const char *path)
{
    const size_t length = strlen(path);
    const int wrong = length == 0 ? ENOENT : length + 256 >= USHRT_MAX ? ENAMETOOLONG : 0;
    if (wrong != 0) {
        errno = wrong;
        return NULL;
    }
    FTSENT *entry = velo_fts_entry(all, path, length);
    if (entry == NULL)
        return NULL;
    entry->fts_level = FTS_ROOTLEVEL;
    entry->fts_parent = parent;
    entry->fts_accpath = entry->fts_name;
    entry->fts_info = velo_fts_ask(all, entry, velo_fts_has(all, FTS_COMFOLLOW));
    if (entry->fts_info == FTS_DOT) /* "." that was asked for is a directory like others */
        entry->fts_info = FTS_D;
    return entry;
}

/* 0 and the list of all `paths`, or -1 and errno. With a function to sort by, those that are equal
 * are met from the last to the first, as in libc. */
static int roots(struct hierarchy *all, FTSENT *parent, char *const *paths, FTSENT **list)
{
    FTSENT *first = NULL, **end = &first;
    size_t count = 0;
    for (; *paths != NULL; paths++, count++) {
        FTSENT *entry = root(all, parent, *paths);
        if (entry == NULL) {
            velo_fts_free(first);
            return -1;
        }
        if (all->fts.fts_compar != NULL) {
            entry->fts_link = first;
            first = entry;
        } else {
            *end = entry;
            end = &entry->fts_link;
        }
    }
    *list = velo_fts_sorted(all, first, count);
    return 0;
}

/* The first current entry is none: what follows it are the roots. */
static int open_roots(struct hierarchy *all, char *const *paths)
{
    FTSENT *parent = velo_fts_entry(all, "", 0), *before = velo_fts_entry(all, "", 0);
    FTSENT *list = NULL;
    if (parent != NULL)
        parent->fts_level = FTS_ROOTPARENTLEVEL;
    if (parent == NULL || before == NULL || roots(all, parent, paths, &list) != 0) {
        velo_fts_free(parent);
        velo_fts_free(before);
        return -1;
    }
    before->fts_info = FTS_INIT;
    before->fts_link = list;
    before->fts_parent = parent;
    all->fts.fts_cur = before;
    return 0;
}

EXPORT FTS *fts_open(char *const *paths, int options, comparison compare)
{
    velo_taint(VELO_TAINT_LISTED);
    if (velo_here() == NULL)
        return NEXT(fts_open)(paths, options, compare);
    if ((options & ~FTS_OPTIONMASK) != 0) {
        errno = EINVAL;
        return NULL;
    }
    struct hierarchy *all = hierarchy_new(options, compare);
    if (all == NULL)
        return NULL;
    if (open_roots(all, paths) != 0) {
        hierarchy_free(all);
        return NULL;
    }
    if (!velo_fts_has(all, FTS_NOCHDIR) && (all->home = open(".", O_RDONLY)) < 0)
        all->fts.fts_options |= FTS_NOCHDIR; /* slower, but it works */
    return &all->fts;
}
ALIAS(fts64_open, fts_open);

/* ---- closing --------------------------------------------------------------------------------- */

static void free_all(struct hierarchy *all)
{
    FTSENT *entry = all->fts.fts_cur;
    while (entry != NULL) {
        FTSENT *next = entry->fts_link != NULL ? entry->fts_link : entry->fts_parent;
        free(entry);
        entry = next;
    }
    velo_fts_free(all->fts.fts_child);
}

EXPORT int fts_close(FTS *fts)
{
    struct hierarchy *all = ours(fts);
    if (all == NULL)
        return NEXT(fts_close)(fts);
    free_all(all);
    const int rc = velo_fts_change_home(all);
    if (all->home >= 0)
        raw_close(all->home);
    hierarchy_free(all);
    return rc;
}
ALIAS(fts64_close, fts_close);

/* ---- reading --------------------------------------------------------------------------------- */

static FTSENT *stop(struct hierarchy *all)
{
    all->fts.fts_options |= FTS_STOP;
    return NULL;
}

static void free_children(struct hierarchy *all)
{
    velo_fts_free(all->fts.fts_child);
    all->fts.fts_child = NULL;
}

/* Behind a symlink. The way back is not "..", so where we are is kept open. */
static void enter_symlink(struct hierarchy *all, FTSENT *entry)
{
    entry->fts_info = velo_fts_ask(all, entry, true);
    if (entry->fts_info != FTS_D || velo_fts_has(all, FTS_NOCHDIR))
        return;
    entry->fts_symfd = open(".", O_RDONLY);
    if (entry->fts_symfd < 0) {
        entry->fts_errno = errno;
        entry->fts_info = FTS_ERR;
    } else {
        entry->fts_flags |= FTS_SYMFOLLOW;
    }
}

/* `entry` is next: its name ends the path. */
static FTSENT *show(struct hierarchy *all, FTSENT *entry)
{
    const size_t base = velo_fts_base(entry->fts_parent);
    all->fts.fts_path[base - 1] = '/';
    memcpy(all->fts.fts_path + base, entry->fts_name, entry->fts_namelen + 1u);
    all->fts.fts_cur = entry;
    return entry;
}

/* The same for a root, whose name from now on is the last of its path. */
static FTSENT *show_root(struct hierarchy *all, FTSENT *entry)
{
    if (velo_fts_change_home(all) != 0)
        return stop(all);
    char *path = all->fts.fts_path;
    memcpy(path, entry->fts_name, entry->fts_namelen + 1u);
    entry->fts_pathlen = entry->fts_namelen;
    const char *slash = strrchr(path, '/');
    if (slash != NULL && (slash != path || slash[1] != 0)) {
        entry->fts_namelen = (unsigned short)strlen(slash + 1);
        memcpy(entry->fts_name, slash + 1, entry->fts_namelen + 1u);
    }
    entry->fts_accpath = path;
    all->fts.fts_dev = entry->fts_dev;
    return entry;
}

static FTSENT *skip(struct hierarchy *all, FTSENT *directory)
{
    if ((directory->fts_flags & FTS_SYMFOLLOW) != 0)
        raw_close(directory->fts_symfd);
    free_children(all);
    directory->fts_info = FTS_DP;
    return directory;
}

/* The program has seen the list already. Without a way in, entries are reached no more; what failed
 * is told at the end of the directory. */
static void enter_listed(struct hierarchy *all, FTSENT *directory)
{
    if (velo_fts_change(all, directory, -1, directory->fts_accpath) == 0)
        return;
    directory->fts_errno = errno;
    directory->fts_flags |= FTS_DONTCHDIR;
    for (FTSENT *child = all->fts.fts_child; child != NULL; child = child->fts_link)
        child->fts_accpath = directory->fts_accpath;
}

static FTSENT *descend(struct hierarchy *all, FTSENT *directory)
{
    if (all->fts.fts_child != NULL && velo_fts_has(all, FTS_NAMEONLY)) {
        all->fts.fts_options &= ~FTS_NAMEONLY;
        free_children(all);
    }
    FTSENT *first = all->fts.fts_child;
    if (first != NULL)
        enter_listed(all, directory);
    else if ((first = velo_fts_list(all, VELO_FTS_READ)) == NULL)
        return velo_fts_has(all, FTS_STOP) ? NULL : directory;
    all->fts.fts_child = NULL;
    return show(all, first);
}

static int change_up(struct hierarchy *all, FTSENT *directory)
{
    if (directory->fts_level == FTS_ROOTLEVEL)
        return velo_fts_change_home(all);
    if ((directory->fts_flags & FTS_SYMFOLLOW) != 0) {
        const int rc = velo_fts_has(all, FTS_NOCHDIR) ? 0 : fchdir(directory->fts_symfd);
        raw_close(directory->fts_symfd);
        return rc;
    }
    if ((directory->fts_flags & FTS_DONTCHDIR) != 0)
        return 0;
    return velo_fts_change(all, directory->fts_parent, -1, "..");
}

/* All of a directory was shown, `last` at its end: the directory is, again. */
static FTSENT *ascend(struct hierarchy *all, FTSENT *last)
{
    FTSENT *directory = last->fts_parent;
    free(last);
    all->fts.fts_cur = directory;
    if (directory->fts_level == FTS_ROOTPARENTLEVEL) {
        free(directory);
        all->fts.fts_cur = NULL;
        errno = 0; /* the end, no failure */
        return NULL;
    }
    all->fts.fts_path[directory->fts_pathlen] = 0;
    if (change_up(all, directory) != 0)
        return stop(all);
    directory->fts_info = directory->fts_errno != 0 ? FTS_ERR : FTS_DP;
    return directory;
}

/* To what follows `entry`, without those that are to be skipped. */
static FTSENT *advance(struct hierarchy *all, FTSENT *entry)
{
    FTSENT *next = entry->fts_link;
    while (next != NULL) {
        all->fts.fts_cur = next;
        free(entry);
        if (next->fts_level == FTS_ROOTLEVEL)
            return show_root(all, next);
        if (next->fts_instr != FTS_SKIP)
            break;
        entry = next;
        next = entry->fts_link;
    }
    if (next == NULL)
        return ascend(all, entry);
    if (next->fts_instr == FTS_FOLLOW) {
        enter_symlink(all, next);
        next->fts_instr = FTS_NOINSTR;
    }
    return show(all, next);
}

EXPORT FTSENT *fts_read(FTS *fts)
{
    struct hierarchy *all = ours(fts);
    if (all == NULL)
        return NEXT(fts_read)(fts);
    FTSENT *entry = fts->fts_cur;
    if (entry == NULL || velo_fts_has(all, FTS_STOP))
        return NULL;
    const int wanted = entry->fts_instr;
    entry->fts_instr = FTS_NOINSTR;
    if (wanted == FTS_AGAIN) {
        entry->fts_info = velo_fts_ask(all, entry, false);
        return entry;
    }
    if (wanted == FTS_FOLLOW && (entry->fts_info == FTS_SL || entry->fts_info == FTS_SLNONE)) {
        enter_symlink(all, entry);
        return entry;
    }
    if (entry->fts_info != FTS_D)
        return advance(all, entry);
    const bool leaves_device = velo_fts_has(all, FTS_XDEV) && entry->fts_dev != fts->fts_dev;
    return wanted == FTS_SKIP || leaves_device ? skip(all, entry) : descend(all, entry);
}
ALIAS(fts64_read, fts_read);

/* ---- children -------------------------------------------------------------------------------- */

/* Before a root that was given by a relative path is entered, only a descriptor leads back. */
static FTSENT *list_and_return(struct hierarchy *all, enum velo_fts_reason reason)
{
    const int here = open(".", O_RDONLY);
    if (here < 0)
        return NULL;
    FTSENT *list = velo_fts_list(all, reason);
    all->fts.fts_child = list;
    const int rc = fchdir(here);
    raw_close(here);
    return rc != 0 ? NULL : list;
}

EXPORT FTSENT *fts_children(FTS *fts, int names)
{
    struct hierarchy *all = ours(fts);
    if (all == NULL)
        return NEXT(fts_children)(fts, names);
    if (names != 0 && names != FTS_NAMEONLY) {
        errno = EINVAL;
        return NULL;
    }
    const FTSENT *entry = fts->fts_cur;
    errno = 0; /* NULL with it: there are none */
    if (velo_fts_has(all, FTS_STOP) || entry == NULL)
        return NULL;
    if (entry->fts_info == FTS_INIT)
        return entry->fts_link;
    if (entry->fts_info != FTS_D)
        return NULL;
    free_children(all);
    const enum velo_fts_reason reason = names != 0 ? VELO_FTS_NAMES : VELO_FTS_CHILDREN;
    if (names != 0)
        fts->fts_options |= FTS_NAMEONLY;
    if (entry->fts_level == FTS_ROOTLEVEL && entry->fts_accpath[0] != '/' &&
        !velo_fts_has(all, FTS_NOCHDIR))
        return list_and_return(all, reason);
    return fts->fts_child = velo_fts_list(all, reason);
}
ALIAS(fts64_children, fts_children);
