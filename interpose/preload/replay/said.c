/* said.c - which descriptors lead to the streams of the unit, and what went there. */
#include "said.h"

#include <sys/sysmacros.h>

#include "kernel/text.h"
#include "member.h"
#include "special.h"
#include "preload/base/raw.h"

#define SAID_MAX (32 << 10) /* shards/replay/analysis.py caches no more */

/* ---- what it was given besides --------------------------------------------------------------- */

enum { FIRST_GIVEN = 3, LAST_GIVEN = 255 };

static bool is_same(const struct stat *stat, uint64_t inode, uint64_t device)
{
    return stat->st_ino == inode && stat->st_dev == device;
}

static bool is_stream(const struct stat *stat)
{
    for (int which = 0; which <= 2; which++)
        if (is_same(stat, velo_unit->streams_inode[which], velo_unit->streams_device[which]))
            return true;
    return false;
}

/* Not directories, by which names are reached that have a text, nor what has no type (epoll, timers), nor /dev/null. */
static bool carries_bytes(const struct stat *stat)
{
    const mode_t type = stat->st_mode & S_IFMT;
    return type != 0 && type != S_IFDIR && !velo_is_null(stat);
}

/* By descriptor. The unit may read there what is in no fact, or write what is no output. */
__attribute__((constructor(103))) static void note_given(void)
{
    uint32_t count = 0;
    struct stat stat;
    if (velo_unit == NULL || atomic_load(&velo_unit->enlisted) != 1)
        return;
    for (int fd = FIRST_GIVEN; fd <= LAST_GIVEN; fd++) {
        if (raw_fstat(fd, &stat) != 0 || !carries_bytes(&stat) || is_stream(&stat) ||
            velo_is_jobserver(fd))
            continue;
        if (count == VELO_GIVEN_MAX) {
            velo_taint_now(VELO_TAINT_INHERITED);
            break;
        }
        velo_unit->given[count++] = (struct velo_given){stat.st_ino, stat.st_dev};
    }
    atomic_store(&velo_unit->given_count, count);
}

static bool was_given(const struct stat *stat)
{
    for (uint32_t i = 0; i < velo_unit->given_count; i++)
        if (is_same(stat, velo_unit->given[i].inode, velo_unit->given[i].device))
            return true;
    return false;
}

/* /dev/tty */
static bool is_terminal(const struct stat *stat)
{
    return S_ISCHR(stat->st_mode) && stat->st_rdev == makedev(5, 0);
}

/* ---- what it says ---------------------------------------------------------------------------- */

/* 1 or 2: that stream of the unit; both are 1 where they are the same. 0: something else. */
static unsigned outlet_of(const struct stat *stat)
{
    for (unsigned which = 1; which <= 2; which++)
        if (is_same(stat, velo_unit->streams_inode[which], velo_unit->streams_device[which]))
            return which;
    return 0;
}

bool velo_unit_is_outlet(int fd)
{
    struct stat stat;
    return raw_fstat(fd, &stat) == 0 && outlet_of(&stat) != 0;
}

/* The stream of the unit to which `fd`, which is written to, leads. 0: it leads elsewhere now, as in sh's `> file`. */
static unsigned written_stream(int fd)
{
    struct stat stat;
    if (raw_fstat(fd, &stat) != 0)
        return 0;
    const unsigned which = outlet_of(&stat);
    if (which != 0)
        return which;
    if (was_given(&stat))
        velo_taint_now(VELO_TAINT_INHERITED);
    return 0;
}

/* Counted before it is written: another thread may end the process before it is written down. */
unsigned velo_unit_says_now(int fd)
{
    const unsigned stream = written_stream(fd);
    if (stream != 0)
        atomic_fetch_add(&velo_unit->spoke, 1);
    return stream;
}

void velo_unit_said_now(unsigned stream, const struct iovec *pieces, ssize_t done)
{
    if (done > SAID_MAX ||
        (done > 0 && atomic_fetch_add(&velo_unit->said, (uint32_t)done) > SAID_MAX))
        return; /* stays counted */
    for (; done > 0; done -= (ssize_t)pieces++->iov_len) {
        const size_t length = (size_t)done < pieces->iov_len ? (size_t)done : pieces->iov_len;
        velo_log_append(velo_unit, VELO_RECORD_SAID, stream, pieces->iov_base, length, NULL, 0);
    }
    atomic_fetch_sub(&velo_unit->spoke, 1);
}

atomic_bool velo_unit_has_terminal;

/* False: it was another one before. */
static bool has_one_width(int fd)
{
    const uint32_t now = 1u + velo_columns_of(fd);
    uint32_t before = 0;
    if (now > UINT16_MAX) /* an entry has no room for it */
        return false;
    return atomic_compare_exchange_strong(&velo_unit->terminal, &before, now) || before == now;
}

bool velo_unit_opens_terminal_now(int fd, const char *path, int flags)
{
    static const char *const nodes[] = {"node", "nodejs", NULL};
    static const char *const measurers[] = {"rustc", "rustdoc", "clippy-driver", NULL};
    const char *name = program_invocation_short_name;
    struct stat stat;
    flags &= ~O_LARGEFILE;
    if (strncmp(path, "/dev/", 5) != 0 || raw_fstat(fd, &stat) != 0 || !S_ISCHR(stat.st_mode))
        return false;
    const bool again = (flags & ~O_ACCMODE) == (O_NOCTTY | O_CLOEXEC) && is_stream(&stat) &&
                       velo_is_one_of(name, nodes);
    const bool measures = flags == (O_RDONLY | O_CLOEXEC) && is_terminal(&stat) &&
                          velo_is_one_of(name, measurers) && has_one_width(fd);
    if (again || measures)
        atomic_store(&velo_unit_has_terminal, true);
    return again || measures;
}

/* `fd` is read: if it is the standard input that the unit was given, we do not know that input. */
void velo_unit_reads_now(int fd)
{
    struct stat stat;
    if (raw_fstat(fd, &stat) != 0)
        return;
    if (was_given(&stat))
        velo_taint_now(VELO_TAINT_INHERITED);
    if (is_terminal(&stat) ||
        (S_ISCHR(stat.st_mode) && outlet_of(&stat) != 0 && !velo_is_null(&stat)))
        velo_taint_now(VELO_TAINT_STDIN); /* `read <&2`: from the terminal */
    if (!is_same(&stat, velo_unit->streams_inode[0], velo_unit->streams_device[0]))
        return;
    const bool is_null = (velo_unit->streams & 3) == VELO_STREAM_NULL;
    velo_taint_now(is_null ? VELO_TAINT_NO_INPUT : VELO_TAINT_STDIN);
}
