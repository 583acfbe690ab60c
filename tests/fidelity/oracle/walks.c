/* walks.c - ftw, nftw and fts: every visit with all that it shows, whatever order a directory has.
 *
 * Visits are kept and said when the walk has ended, in the order of their text; in the order of the
 * walk when that is sorted (SORTED). A walk of nftw that follows links meets a directory by one of
 * its names, and which one the order decides, so it says what was met without names, unless the
 * script knows better (NAMED). One that ended early says nothing but that. */
#include "oracle.h"

#include <fcntl.h>
#include <fts.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { VISITS_MAX = 400 }; /* of one walk: a link can lead to all scripts' trees, many times */

struct visit {
    char *text, *path;
    struct stat st;
    int has_stat;
};

static _Thread_local struct walk {
    struct visit *visits;
    size_t count;
    int flags;
    const char *name; /* a visit of this name is answered by... */
    int answer;
} walk;

/* Of the flags of an operation; libc is not told. */
#define OURS (ORACLE_NAMED | ORACLE_SORTED | ORACLE_CHILDREN | ORACLE_NAMES)

static void keep(char *text, const char *path, const struct stat *st)
{
    if (walk.count % 64 == 0)
        walk.visits = realloc(walk.visits, (walk.count + 64) * sizeof *walk.visits);
    if (walk.visits == NULL)
        exit(3);
    struct visit *visit = &walk.visits[walk.count++];
    *visit = (struct visit){.text = text, .path = strdup(path), .has_stat = st != NULL};
    if (st != NULL)
        visit->st = *st;
}

static int by_text(const void *left, const void *right)
{
    return strcmp(((const struct visit *)left)->text, ((const struct visit *)right)->text);
}

static void say_visits(struct context *c, int whole)
{
    if (walk.count > 0 && !(walk.flags & ORACLE_SORTED))
        qsort(walk.visits, walk.count, sizeof walk.visits[0], by_text);
    if (whole)
        say(c, " %zu:", walk.count);
    for (size_t i = 0; i < walk.count; i++) {
        const struct visit *visit = &walk.visits[i];
        const int flags = S_ISLNK(visit->st.st_mode) ? AT_SYMLINK_NOFOLLOW : 0;
        if (whole) {
            say(c, " ;");
            say_text(c, visit->text, strlen(visit->text));
            if (visit->has_stat)
                say_stat(c, &visit->st, AT_FDCWD, visit->path, flags);
        }
        free(visit->text);
        free(visit->path);
    }
    free(walk.visits);
    walk.visits = NULL;
    walk.count = 0;
}

static char *text_of(const char *format, ...) __attribute__((format(printf, 1, 2)));
static char *text_of(const char *format, ...)
{
    char *text;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        exit(3);
    va_end(arguments);
    return text;
}

static const char *here(char room[PATH_BYTES])
{
    return getcwd(room, PATH_BYTES) != NULL ? room : error_name(errno);
}

static const char *last_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* ---- ftw and nftw ---------------------------------------------------------------------------- */

static int visit_of(const char *path, const struct stat *st, int kind, const char *more)
{
    const int by_name = (walk.flags & (FTW_PHYS | ORACLE_NAMED)) != 0;
    if (by_name)
        keep(text_of("%s|%d%s", path, kind, more), path, kind == FTW_NS ? NULL : st);
    else if (kind == FTW_NS)
        keep(text_of("%d", kind), path, NULL);
    else
        keep(text_of("%d|%c%04o|n%lu|u%u|s%ld", kind, type_letter(st->st_mode), st->st_mode & 07777,
                     (unsigned long)st->st_nlink, st->st_uid,
                     S_ISDIR(st->st_mode) ? 0 : (long)st->st_size),
             path, NULL);
    if (walk.count >= VISITS_MAX)
        return -1;
    return walk.name != NULL && strcmp(last_of(path), walk.name) == 0 ? walk.answer : 0;
}

static int each_ftw(const char *path, const struct stat *st, int kind)
{
    return visit_of(path, st, kind, "");
}

static int each_nftw(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    char room[PATH_BYTES], more[PATH_BYTES + 100];
    snprintf(more, sizeof more, "|%d|%d|%s", at->base, at->level,
             (walk.flags & FTW_CHDIR) != 0 ? here(room) : "");
    return visit_of(path, st, kind, more);
}

static void begin(char **a, int first, int flags)
{
    walk.flags = flags;
    walk.name = a[first];
    walk.answer = walk.name != NULL ? (int)number(a[first + 1]) : 0;
}

/* With FTW_SKIP_SIBLINGS, what is visited before depends on the order, an error, too; so does which
 * of several links that lead nowhere was met first, or whether there were too many visits before. */
static void say_walk(struct context *c, int result)
{
    const int skipped = (walk.flags & FTW_ACTIONRETVAL) != 0 && walk.answer == FTW_SKIP_SIBLINGS;
    const int orderly = (walk.flags & (FTW_PHYS | ORACLE_NAMED)) != 0 && walk.count < VISITS_MAX;
    if (skipped)
        say(c, " some");
    else if (result == -1 && !orderly)
        say(c, " failed");
    else
        say_result(c, result);
    say_visits(c, (walk.flags & ORACLE_NAMED) != 0 || (result == 0 && !skipped));
}

/* ftw PATH [NAMED] */
static void op_ftw(struct context *c, char **a)
{
    begin(a, a[1] != NULL ? 2 : 1, a[1] != NULL ? (int)number(a[1]) : 0);
    say_walk(c, ftw(path_of(c, a[0]), each_ftw, 4));
}

/* nftw PATH FLAGS DESCRIPTORS [NAME ANSWER] */
static void op_nftw(struct context *c, char **a)
{
    begin(a, 3, (int)number(a[1]));
    say_walk(c, nftw(path_of(c, a[0]), each_nftw, (int)number(a[2]), walk.flags & ~OURS));
}

/* ---- fts ------------------------------------------------------------------------------------- */

static int by_name(const FTSENT **left, const FTSENT **right)
{
    return strcmp((*left)->fts_name, (*right)->fts_name);
}

static void instruct(FTS *fts, FTSENT *entry)
{
    if (walk.name == NULL || entry->fts_pointer != NULL || strcmp(entry->fts_name, walk.name) != 0)
        return;
    entry->fts_pointer = entry;
    fts_set(fts, entry, walk.answer);
}

/* The list of the current directory, as one more visit. Its entries are those of the walk later. */
static void children_of(FTS *fts, const FTSENT *parent)
{
    FTSENT *list = fts_children(fts, (walk.flags & ORACLE_NAMES) != 0 ? FTS_NAMEONLY : 0);
    const int failed = errno;
    keep(text_of("%s|children|%s", parent->fts_path, list == NULL ? error_name(failed) : ""),
         parent->fts_path, NULL);
    for (; list != NULL; list = list->fts_link) {
        list->fts_number = 1000;
        if ((walk.flags & ORACLE_CHILDREN) != 0)
            instruct(fts, list);
        keep(text_of("%s|child|%s|%s|%d|%d", list->fts_path, list->fts_name, list->fts_accpath,
                     list->fts_info, list->fts_level),
             list->fts_path, NULL);
    }
}

static int unlike(const FTSENT *entry)
{
    const struct stat *st = entry->fts_statp;
    return entry->fts_info == FTS_D &&
           (entry->fts_ino != st->st_ino || entry->fts_dev != st->st_dev ||
            entry->fts_nlink != st->st_nlink);
}

static void visit_entry(FTS *fts, FTSENT *entry)
{
    char room[PATH_BYTES];
    const int has_stat =
        (walk.flags & FTS_NOSTAT) == 0 && entry->fts_info != FTS_NS && entry->fts_info != FTS_NSOK;
    char *text = text_of("%s|%d|%s|%s|%d|%s|%ld|%d|%d|%d|%s%s", entry->fts_path, entry->fts_info,
                         entry->fts_accpath, entry->fts_name, entry->fts_level,
                         entry->fts_errno != 0 ? error_name(entry->fts_errno) : "",
                         entry->fts_number, entry->fts_pathlen, entry->fts_namelen,
                         entry->fts_info == FTS_DC ? entry->fts_cycle->fts_level : 0,
                         (walk.flags & (FTS_NOCHDIR | FTS_LOGICAL)) == 0 ? here(room) : "",
                         has_stat && unlike(entry) ? " unlike" : "");
    keep(text, entry->fts_path, has_stat ? entry->fts_statp : NULL);
    entry->fts_number = 100 + entry->fts_level;
    if ((walk.flags & ORACLE_CHILDREN) == 0)
        instruct(fts, entry);
    if ((walk.flags & (ORACLE_CHILDREN | ORACLE_NAMES)) != 0 && entry->fts_info == FTS_D)
        children_of(fts, entry);
}

/* fts PATH[,PATH...] OPTIONS [NAME INSTRUCTION] */
static void op_fts(struct context *c, char **a)
{
    char words[PATH_BYTES], *roots[4] = {NULL}, before[PATH_BYTES], after[PATH_BYTES];
    int count = 0;
    snprintf(words, sizeof words, "%s", a[0]);
    for (char *rest, *word = strtok_r(words, ",", &rest); word != NULL && count < 3;
         word = strtok_r(NULL, ",", &rest))
        roots[count++] = strdup(path_of(c, word));
    begin(a, 2, (int)number(a[1]));
    here(before);
    FTS *fts =
        fts_open(roots, walk.flags & ~OURS, (walk.flags & ORACLE_SORTED) != 0 ? by_name : NULL);
    for (int i = 0; i < count; i++)
        free(roots[i]);
    if (fts == NULL) {
        say_result(c, -1);
        return;
    }
    for (FTSENT *entry; walk.count < VISITS_MAX && (entry = fts_read(fts)) != NULL;)
        visit_entry(fts, entry);
    const int failed = walk.count < VISITS_MAX ? errno : E2BIG;
    say(c, " %s", error_name(failed));
    say_result(c, fts_close(fts));
    say(c, strcmp(here(after), before) == 0 ? "" : " elsewhere");
    say_visits(c, failed == 0);
}

/* nofile N: as few descriptors as that from now on */
static void op_nofile(struct context *c, char **a)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = (rlim_t)number(a[0]);
    say_result(c, setrlimit(RLIMIT_NOFILE, &limit));
}

const struct operation_name walk_operations[] = {
    {"ftw", 1, op_ftw},       {"nftw", 3, op_nftw}, {"fts", 2, op_fts},
    {"nofile", 1, op_nofile}, {NULL, 0, NULL},
};
