/* unit.c - a process joins the unit that its environment names, and writes down what it asks the kernel.
 *
 * An observation is written down once: a small table by hash drops repeated ones, which are most of them. */
#include "unit.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "kernel/sys.h"
#include "kernel/text.h"
#include "preload/base/raw.h"
#include "preload/path/claim.h"
#include "member.h"
#include "probe.h"
#include "special.h"

#define FILTER_SLOTS 1024u
#define ABOVE_SLOTS 128u
#define NAMED_MAX 16u /* of a process; one that names more names all so */

struct velo_log *velo_unit;
static struct velo_log *left; /* by a build tool, and still mapped */
char velo_unit_assignment[VELO_UNIT_MAX];
static enum velo_replay_mode mode;
static uint64_t filter[FILTER_SLOTS];

enum velo_replay_mode velo_replay_mode(void)
{
    return mode;
}

/* ---- observations ---------------------------------------------------------------------------- */

/* If two observations were taken for the same by mistake, an input would be forgotten. So the table holds all 64
 * bits. */
static bool is_new(unsigned kind, unsigned flags, const char *text, size_t length)
{
    const uint64_t hash = velo_text_hash((uint64_t)kind << 32 | flags, text, length) | 1;
    uint64_t *slot = &filter[hash >> 7 & (FILTER_SLOTS - 1)];
    if (*slot == hash)
        return false;
    *slot = hash;
    return true;
}

/* A question after a file was read may depend on that file, or its answer go into an output made of the file. So the
 * same question is written down once for each file that was read. */
static uint64_t files_read;

static bool ask_once(unsigned flags)
{
    const bool once =
        is_new(VELO_RECORD_ASKED, flags, (const char *)&files_read, sizeof files_read);
    if (once)
        velo_log_append(velo_unit, VELO_RECORD_ASKED, flags, "", 0, NULL, 0);
    return once;
}

static void ask(unsigned flags)
{
    if (!ask_once(flags) && flags == VELO_TAINT_CLOCK)
        ask_once(flags | VELO_ASKED_AGAIN);
}

void velo_taint_now(enum velo_taint reason)
{
    if (reason < VELO_TAINT_CLOCK)
        velo_log_taint(velo_unit, reason);
    else
        ask(reason);
}

/* Some programs measure all that they do, and so do we, by the same functions. */
static bool measures_again(const void *by)
{
    static _Atomic uint64_t said;
    const uint64_t what = (files_read + 1) * 0x9e3779b97f4a7c15u ^ (uintptr_t)by;
    return velo_member_is_ours(by) || atomic_exchange(&said, what) == what;
}

void velo_asked_now(enum velo_taint reason, const void *by)
{
    if (reason == VELO_TAINT_INTERVAL && measures_again(by))
        return;
    if (reason < VELO_TAINT_CLOCK || velo_member_began_with(by))
        velo_taint_now(reason);
    else
        ask(reason | VELO_ASKED_BY_PLUGIN);
}

void velo_saw_text(enum velo_record_kind kind, const char *text)
{
    const size_t length = strlen(text);
    if (is_new(kind, 0, text, length))
        velo_log_append(velo_unit, kind, 0, text, length + 1, NULL, 0);
}

static void note(enum velo_record_kind kind, unsigned flags, const char *text, size_t length)
{
    enum velo_taint reason = VELO_TAINT_NONE;
    if (velo_is_no_file(kind, flags, text, &reason)) {
        if (reason != VELO_TAINT_NONE)
            velo_taint_now(reason);
        return;
    }
    if (kind < VELO_RECORD_WRITE && !is_new(kind, flags, text, length))
        return;
    files_read += kind == VELO_RECORD_READ;
    velo_log_append(velo_unit, kind, flags, text, length + 1, NULL, 0);
}

/* A program that names the whole path may have it from a file that says the same path in a clone: portable.py wants to
 * know. Not of symlinks that are read: realpath does that by whole paths, whatever it was given. */
static void note_named(enum velo_record_kind kind, const char *path)
{
    static _Atomic uint32_t named;
    if (kind == VELO_RECORD_LINK || path[0] != '/' ||
        atomic_load_explicit(&named, memory_order_relaxed) >= NAMED_MAX ||
        !velo_leads_below(path, velo_workspace_of(velo_here())))
        return;
    const size_t length = strlen(path);
    if (is_new(VELO_RECORD_NAMED, 0, path, length))
        velo_log_append(velo_unit, VELO_RECORD_NAMED, atomic_fetch_add(&named, 1) + 1 == NAMED_MAX,
                        path, length + 1, NULL, 0);
}

static bool says_absent(long rc)
{
    return rc == -ENOENT || rc == -ENOTDIR;
}

static unsigned absent_how(enum velo_record_kind kind)
{
    if (kind == VELO_RECORD_LSTAT || kind == VELO_RECORD_LINK)
        return VELO_ABSENT_ITSELF;
    return kind == VELO_RECORD_READ || kind == VELO_RECORD_WRITE ? VELO_ABSENT_OPENED : 0;
}

/* A file is not there since its directory is not, the first `length` bytes of `text`. A compiler looks for
 * bits/types.h in a dozen directories, and for a hundred more in bits/: one absence stands for all below. Not where
 * hosted directories may be: other steps make those while a build runs. */
static bool is_above_absent(const char *text, size_t length)
{
    static uint64_t known[ABOVE_SLOTS]; /* hashes; the last bit says that it is absent */
    const uint64_t hash = velo_text_hash(0, text, length) | 1;
    uint64_t *slot = &known[hash >> 7 & (ABOVE_SLOTS - 1)];
    if ((*slot | 1) == hash)
        return (*slot & 1) != 0;
    char above[PATH_MAX];
    struct velo_probed probed;
    memcpy(above, text, length);
    above[length] = 0;
    const bool absent =
        !velo_may_reach_hosted(velo_here(), above) && velo_probe(above, true, &probed) == -ENOENT;
    *slot = hash ^ !absent;
    if (absent)
        note(VELO_RECORD_ABSENT, VELO_ABSENT_OPENED, above, length);
    return absent;
}

static void note_absent(enum velo_record_kind kind, const char *text, size_t length)
{
    size_t last = length;
    while (last > 0 && text[last - 1] != '/')
        last--;
    const bool has_name = last > 1 && last < length && text[last] != '.'; /* it may be `..` */
    const bool follows = kind == VELO_RECORD_READ || kind == VELO_RECORD_STAT ||
                         kind == VELO_RECORD_ACCESS || kind == VELO_RECORD_REAL;
    if (!follows || !has_name || velo_is_special(text) || !is_above_absent(text, last - 1))
        note(VELO_RECORD_ABSENT, absent_how(kind), text, length);
}

/* Nothing that the unit asks counts any more; what it makes is still told, for `velo explain`. One that is recorded
 * only is observed to its end. */
static bool is_lost(enum velo_record_kind kind)
{
    return kind < VELO_RECORD_WRITE && mode != VELO_REPLAY_RECORD &&
           atomic_load_explicit(&velo_unit->taint, memory_order_relaxed) != VELO_TAINT_NONE;
}

/* Has the process left the workspace for another view of the files? What it does there cannot be asked again. */
static bool has_left(void)
{
    if (velo_here() != NULL)
        return false;
    velo_log_taint(velo_unit, VELO_TAINT_LEFT);
    return true;
}

/* `opendir` of a file, or a file's name with a slash behind it. The name is there, and is no directory. */
static bool is_no_directory(const char *text, long rc)
{
    struct velo_probed probed;
    return rc == -ENOTDIR && velo_probe(text, true, &probed) == 0;
}

void velo_saw_now(enum velo_record_kind kind, unsigned flags, int dirfd, const char *path, long rc)
{
    char text[PATH_MAX];
    if (is_lost(kind) || has_left() || rc == -EFAULT || velo_cannot_read_text(path) || path[0] == 0)
        return; /* a descriptor's path, or none */
    const long length = velo_absolute_text(dirfd, path, text);
    note_named(kind, path);
    if (length < 0)
        velo_log_taint(velo_unit, VELO_TAINT_UNNAMED);
    else if (rc >= 0)
        note(kind, flags, text, (size_t)length);
    else if (kind == VELO_RECORD_GONE && says_absent(rc))
        note(kind, 1, text, (size_t)length);
    else if (kind == VELO_RECORD_MKDIR && rc == -EEXIST)
        note(kind, 1, text, (size_t)length);
    else if (kind == VELO_RECORD_LINK && rc == -EINVAL)
        note(VELO_RECORD_NO_LINK, 0, text, (size_t)length);
    else if (is_no_directory(text, rc))
        note(VELO_RECORD_ACCESS, 0, text, (size_t)length);
    else if (says_absent(rc))
        note_absent(kind, text, (size_t)length);
    else
        note(VELO_RECORD_ERROR, (unsigned)-rc, text, (size_t)length);
}

/* The file that was opened last. clang asks /proc/self/fd/N for the real path of each header that it opened. */
static struct {
    _Atomic int fd;
    char path[PATH_MAX];
} opened = {.fd = -1};

static void remember_opened(int dirfd, const char *path, long fd)
{
    atomic_store(&opened.fd, -1);
    if (fd >= 0 && !velo_cannot_read_text(path) && velo_absolute_text(dirfd, path, opened.path) > 0)
        atomic_store(&opened.fd, (int)fd);
}

void velo_saw_open_now(int dirfd, const char *path, int flags, long rc)
{
    const bool reads = (flags & O_ACCMODE) == O_RDONLY && (flags & (O_CREAT | O_TRUNC)) == 0;
    if ((reads && is_lost(VELO_RECORD_READ)) || has_left())
        return;
    remember_opened(dirfd, path, rc);
    if (rc != -EFAULT && !velo_cannot_read_text(path) && velo_is_start_of_bash(path, flags))
        return;
    unsigned how = 0;
    if ((flags & O_TMPFILE) == O_TMPFILE) {
        velo_log_taint(velo_unit, VELO_TAINT_LINKED);
        return;
    }
    if ((flags & O_DIRECTORY) != 0 && rc >= 0) {
        velo_saw_now(VELO_RECORD_STAT, 0, dirfd, path, rc);
        velo_saw_directory_now(dirfd, path, (int)rc);
        return;
    }
    if (reads) {
        struct stat stat;
        if (rc >= 0 && raw_fstat((int)rc, &stat) == 0 && S_ISDIR(stat.st_mode))
            velo_saw_directory_now(dirfd, path, (int)rc);
        velo_saw_now((flags & O_PATH) != 0 ? VELO_RECORD_STAT : VELO_RECORD_READ, 0, dirfd, path,
                     rc);
        return;
    }
    how |= (flags & O_TRUNC) != 0 ? VELO_WRITE_TRUNCATED : 0u;
    how |= (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL) ? VELO_WRITE_NEW : 0u;
    how |= (flags & O_CREAT) != 0 ? VELO_WRITE_MAYBE_NEW : 0u;
    how |= (flags & O_APPEND) != 0 ? VELO_WRITE_APPENDS : 0u;
    velo_saw_now(VELO_RECORD_WRITE, how, dirfd, path, rc);
}

void velo_saw_two(enum velo_record_kind kind, int dirfd, const char *path, int to_dirfd,
                  const char *to)
{
    char first[PATH_MAX], second[PATH_MAX];
    if (velo_unit == NULL || is_lost(kind) || has_left() || velo_cannot_read_text(path) ||
        velo_cannot_read_text(to))
        return;
    if (kind == VELO_RECORD_LINK && strcmp(path, "/proc/self/exe") == 0)
        return; /* the program is known */
    const int fd = kind == VELO_RECORD_LINK && velo_is_special(path) ? velo_fd_of_path(path) : -1;
    if (fd >= 0 && fd == atomic_load(&opened.fd)) {
        path = opened.path;
        kind = VELO_RECORD_REAL;
    } else if (kind == VELO_RECORD_LINK && velo_is_special(path)) {
        velo_log_taint(velo_unit, VELO_TAINT_DEVICE);
        return;
    }
    note_named(kind, path);
    if (kind != VELO_RECORD_REAL && kind != VELO_RECORD_LINK)
        note_named(kind, to);
    const bool as_given = kind == VELO_RECORD_REAL || kind == VELO_RECORD_LINK;
    const long length = velo_absolute_text(dirfd, path, first);
    const long other = as_given ? (long)strlen(to) : velo_absolute_text(to_dirfd, to, second);
    if (length < 0 || other < 0) {
        velo_log_taint(velo_unit, VELO_TAINT_UNNAMED);
        return;
    }
    if (as_given && !is_new(kind, 0, first, (size_t)length))
        return;
    velo_log_append(velo_unit, kind, 0, first, (size_t)length + 1, as_given ? to : second,
                    (size_t)other + 1);
}

/* ---- directories that paths begin at --------------------------------------------------------- */

/* `text` led to what the kernel calls `link`: by symlinks, which count then, or by none. */
static void note_way(const char *text, const char *link)
{
    char real[PATH_MAX];
    const long length = raw_readlink(AT_FDCWD, link, real, sizeof real - 1);
    if (length <= 0 || real[0] != '/') {
        velo_log_taint(velo_unit, VELO_TAINT_UNNAMED);
        return;
    }
    real[length] = 0;
    if (strcmp(text, real) != 0)
        velo_saw_two(VELO_RECORD_REAL, AT_FDCWD, text, AT_FDCWD, real);
}

void velo_saw_directory_now(int dirfd, const char *path, int fd)
{
    char text[PATH_MAX], link[VELO_FD_PATH_MAX];
    if (has_left() || velo_cannot_read_text(path) || path[0] == 0)
        return;
    if (velo_is_special(path) || velo_absolute_text(dirfd, path, text) < 0)
        return;
    velo_path_of_fd(VELO_SELF, fd, link);
    note_way(text, link);
}

void velo_saw_entered(const char *path, const char *before, long length, long rc)
{
    if (has_left() || velo_cannot_read_text(path) || path[0] == 0)
        return;
    if (length < 0) {
        velo_log_taint(velo_unit, VELO_TAINT_UNNAMED);
        return;
    }
    /* Not a fact of times: the program does not hear of them. Of a file in the way it hears that it is one. */
    velo_saw_now(VELO_RECORD_ACCESS, 0, AT_FDCWD, before, rc == -ENOTDIR ? 0 : rc);
    if (rc == 0)
        note_way(before, "/proc/self/cwd");
}

void velo_saw_fstat_now(void)
{
    if (is_new(VELO_RECORD_FSTAT, 0, "", 0))
        velo_log_append(velo_unit, VELO_RECORD_FSTAT, 0, "", 0, NULL, 0);
}

/* ---- beginning and end of a process ---------------------------------------------------------- */

void velo_unit_leave(void)
{
    if (velo_unit == NULL)
        return;
    velo_log_taint(velo_unit, VELO_TAINT_ORCHESTRATOR);
    left = velo_unit;
    velo_unit = NULL; /* stays mapped: another thread may be writing */
    velo_unit_assignment[0] = 0;
}

void velo_unit_unmap(void)
{
    mode = VELO_REPLAY_OFF;
    struct velo_log *const mapped = velo_unit != NULL ? velo_unit : left;
    velo_unit = left = NULL;
    if (mapped != NULL)
        velo_log_unmap(mapped);
}

static uint32_t parent; /* of a child; asked before it is there, as later the parent may be gone */

static void before_fork(void)
{
    if (velo_unit != NULL)
        parent = (uint32_t)velo_sys0(SYS_getpid);
}

static void forked(void)
{
    if (velo_unit == NULL)
        return;
    atomic_fetch_add(&velo_unit->forked, 1);
    velo_log_append(velo_unit, VELO_RECORD_FORKED, 0, &parent, sizeof parent, NULL, 0);
}

static const char *take_out(const char *name, char kept[VELO_UNIT_MAX])
{
    const size_t length = strlen(name);
    const char *found = NULL;
    for (char **entry = environ; entry != NULL && *entry != NULL;) {
        if (strncmp(*entry, name, length) != 0 || (*entry)[length] != '=' ||
            strlen(*entry) >= VELO_UNIT_MAX) {
            entry++;
            continue;
        }
        found = strcpy(kept, *entry) + length + 1;
        for (char **rest = entry; (rest[0] = rest[1]) != NULL; rest++) {
        }
    }
    return found;
}

static enum velo_replay_mode mode_of(const char *text)
{
    if (text == NULL)
        return VELO_REPLAY_OFF;
    if (strcmp(text, "on") == 0)
        return VELO_REPLAY_ON;
    if (strcmp(text, "record") == 0)
        return VELO_REPLAY_RECORD;
    return strcmp(text, "verify") == 0 ? VELO_REPLAY_VERIFY : VELO_REPLAY_OFF;
}

/* After the constructor that attaches (101). glibc gives it the arguments of main. */
__attribute__((constructor(102))) static void join(int argc, char *argv[])
{
    char assignment[VELO_UNIT_MAX];
    if (velo_here() == NULL)
        return;
    mode = mode_of(velo_variable("VELO_REPLAY"));
    const char *path = take_out("VELO_UNIT", assignment);
    if (mode == VELO_REPLAY_OFF || path == NULL)
        return;
    velo_unit = velo_log_map(path);
    if (velo_unit == NULL)
        return; /* not enlisted: the unit will not be cached */
    strcpy(velo_unit_assignment, assignment);
    velo_special_begin();
    velo_member_begin(argc, argv);
    pthread_atfork(before_fork, NULL, forked);
}
