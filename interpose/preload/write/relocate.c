/* relocate.c - this process writes a file that cannot stay in memory: there is no room, or it is
 * renamed out of the hosted directories. Its descriptors are led to the file on disk
 * (core/disk/relocate.c), at the same offset, and the write goes on there.
 *
 * Only when nobody else could notice: no process that shares the descriptor, no mapping, not the parent of
 * a vfork child. Other threads wait with what they write meanwhile. A build needs this once, if ever, so
 * it may look through all of /proc. */
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <time.h>

#include "kernel/os.h"
#include "preload/path/claim.h"
#include "census.h"
#include "credit.h"
#include "locks.h"
#include "share.h"
#include "preload/base/raw.h"
#include "relocate.h"

#define DESCRIPTORS_MAX 64u
#define SCRATCH_BYTES (1u << 16)
#define ATTEMPTS_MAX 200
#define ATTEMPTS_SOON 5
#define PAUSE_NS 10000000l
#define ATTEMPTS_HASTY 4 /* once all of them were in vain: who has one file has others, too */
#define HASTY_NS 10000000000ll
#define GLANCES 50 /* of a shard: microseconds, but it may have to wait for a core */
#define GLANCE_NS 1000000l

struct scratch { /* mapped: the caller may have a 64 KiB stack */
    char file[PATH_MAX], link[PATH_MAX], maps[SCRATCH_BYTES];
    int ours[DESCRIPTORS_MAX]; /* those to read or write by from the front, O_PATH from the back */
    unsigned count, paths;
    uint64_t device, inode; /* of the file in memory */
};

static int64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return now.tv_sec * 1000000000ll + now.tv_nsec;
}

static char *append(char *to, const char *text)
{
    while (*text != 0)
        *to++ = *text++;
    *to = 0;
    return to;
}

static bool mapped(struct scratch *s)
{
    const size_t length = strlen(s->file);
    const long fd = raw_openat(AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC, 0);
    bool found = fd < 0;
    size_t kept = 0;
    while (!found) {
        const long got =
            velo_sys3(SYS_read, fd, velo_word(s->maps + kept), SCRATCH_BYTES - 1 - kept);
        if (got <= 0)
            break;
        const size_t have = kept + (size_t)got;
        found = memmem(s->maps, have, s->file, length) != NULL;
        kept = have < length ? have : length; /* the text may lie across two reads */
        memmove(s->maps, s->maps + have - kept, kept);
    }
    if (fd >= 0)
        raw_close((int)fd);
    return found;
}

static bool note(struct scratch *s, int fd)
{
    if (s->count + s->paths == DESCRIPTORS_MAX)
        return false;
    if ((velo_sys3(SYS_fcntl, fd, F_GETFL, 0) & O_PATH) != 0)
        s->ours[DESCRIPTORS_MAX - ++s->paths] = fd;
    else
        s->ours[s->count++] = fd;
    return true;
}

/* A stranger that has the file ends the search; ours are noted. */
static int see(void *context, int self, int fd, const char *rest)
{
    (void)rest;
    return !self || !note(context, fd);
}

/* dup2 keeps nothing but the number: what belongs to the number is put back. A number that another thread gave
 * to something else meanwhile is left alone. */
static void replace_descriptor(const struct scratch *s, int fd, int disk)
{
    struct stat now;
    if (raw_fstat(fd, &now) != 0 || now.st_dev != s->device || now.st_ino != s->inode)
        return;
    const long flags = velo_sys3(SYS_fcntl, fd, F_GETFD, 0);
    velo_sys3(SYS_dup3, disk, fd, (flags & FD_CLOEXEC) != 0 ? O_CLOEXEC : 0);
    velo_write_credit_set(fd, 0);
}

/* One that is a path only has no offset and no rights to share: it gets its own. */
static void relocate_path(struct velo_region *region, uint32_t node, struct scratch *s, int fd)
{
    const long flags = velo_sys3(SYS_fcntl, fd, F_GETFL, 0) & (O_PATH | O_NOFOLLOW);
    const long disk = velo_path_of(region, node, s->link) < 0
                          ? -ENOENT
                          : raw_openat(AT_FDCWD, s->link, (int)flags | O_CLOEXEC, 0);
    if (disk < 0)
        return;
    replace_descriptor(s, fd, (int)disk);
    raw_close((int)disk);
}

static bool find_file(struct scratch *s, int fd)
{
    char path[32] = "/proc/self/fd/", digits[12], *at = digits + sizeof digits;
    *--at = 0;
    for (unsigned rest = (unsigned)fd; at == digits + sizeof digits - 1 || rest != 0; rest /= 10)
        *--at = (char)('0' + rest % 10);
    append(path + 14, at);
    return raw_readlink(AT_FDCWD, path, s->file, PATH_MAX - 1) > 0;
}

/* The descriptors in `s` are all that there are of the file. */
static int relocate_found(struct velo_region *region, uint32_t node, struct scratch *s)
{
    struct velo_locks locks;
    struct stat memory;
    if (s->count == 0 || raw_fstat(s->ours[0], &memory) != 0)
        return -ENOENT;
    if (!velo_locks_of(s->ours[0], s->maps, sizeof s->maps, &locks))
        return -ENOSPC;
    s->device = memory.st_dev;
    s->inode = memory.st_ino;
    const int disk = velo_relocate(region, node, s->ours[0]);
    if (disk < 0)
        return disk;
    velo_take_locks(disk, &locks, true);
    velo_sys3(SYS_lseek, disk, velo_sys3(SYS_lseek, s->ours[0], 0, SEEK_CUR), SEEK_SET);
    for (unsigned i = 0; i < s->count; i++)
        replace_descriptor(s, s->ours[i], disk);
    for (unsigned i = 1; i <= s->paths; i++)
        relocate_path(region, node, s, s->ours[DESCRIPTORS_MAX - i]);
    raw_close(disk); /* which ends a process's own locks, so those come last */
    velo_take_locks(s->ours[0], &locks, false);
    return 0;
}

/* s->file is the file in memory. 0, -EBUSY while somebody else has it, which may be a shard that is
 * just looking. */
static int relocate_once(struct velo_region *region, uint32_t node, struct scratch *s)
{
    s->count = s->paths = 0;
    if (mapped(s))
        return -ENOSPC;
    if (velo_open_files(region, s->file, see, s) != 0)
        return -EBUSY;
    return relocate_found(region, node, s);
}

static int relocate(struct velo_region *region, uint32_t node, struct scratch *s, int attempts)
{
    int rc = -EBUSY;
    for (int attempt = 0; attempt < attempts && rc == -EBUSY; attempt++) {
        if (attempt > 0)
            velo_os_pause(attempt < GLANCES ? GLANCE_NS : PAUSE_NS);
        rc = relocate_once(region, node, s);
    }
    return rc;
}

/* ---- many files at once ---------------------------------------------------------------------- */

#define MANY                                                                                       \
    8u /* credits: to look through /proc once costs no more for all their files than for one */
#define CENSUS_EVERY_NS 50000000
#define THREADS_FILES 32u /* another thread might duplicate one after it was looked for */

static bool has_many(void)
{
    const int top = atomic_load_explicit(&velo_write_credits_top, memory_order_relaxed);
    unsigned count = 0;
    for (int fd = 0; fd < top && count < MANY; fd++)
        count += velo_write_credit(fd) != 0;
    return count == MANY;
}

static _Atomic int64_t hasty_until_ns; /* to wait for others was in vain a moment ago */

static bool is_hasty(void)
{
    return monotonic_ns() < atomic_load(&hasty_until_ns);
}

/* Others have the file: nobody will look again for a while. */
static void leave_had(struct velo_region *region, const struct velo_had *had, unsigned count)
{
    for (unsigned i = 0; i < count && is_hasty(); i++)
        if (had[i].fd >= 0 && velo_write_credit(had[i].fd) != 0) {
            velo_set_stuck(velo_node_of_fd(region, had[i].fd));
            return;
        }
}

/* had[0..count) are all that is known of one file. */
static bool relocate_had(struct velo_region *region, struct scratch *s, const struct velo_had *had,
                         unsigned count)
{
    bool writes = false;
    s->count = s->paths = 0;
    for (unsigned i = 0; i < count; i++) {
        if (had[i].fd < 0 || !note(s, had[i].fd)) {
            leave_had(region, had, count);
            return false;
        }
        writes = writes || velo_write_credit(had[i].fd) != 0;
    }
    const uint32_t node = writes && s->count > 0 ? velo_node_of_fd(region, s->ours[0]) : 0;
    return node != 0 && relocate_found(region, node, s) == 0;
}

/* s->file is one of those that this process writes, as /proc spells it. */
static bool find_any(struct velo_region *region, struct scratch *s)
{
    const int top = atomic_load_explicit(&velo_write_credits_top, memory_order_relaxed);
    for (int fd = 0; fd < top; fd++)
        if (velo_write_credit(fd) != 0 && velo_node_of_fd(region, fd) != 0 && find_file(s, fd))
            return true;
    return false;
}

/* There is no room for what this process is writing to one of many files: the others would be the next, and each
 * cost a look through all of /proc. Those that cannot go are left as they are. */
static void relocate_many(struct velo_region *region, struct scratch *s)
{
    static _Atomic int64_t next_ns; /* what could go has just gone */
    const bool alone = velo_single_threaded != NULL && *velo_single_threaded;
    if (monotonic_ns() < atomic_load(&next_ns))
        return;
    struct velo_census *census = find_any(region, s) ? velo_census_take(region, s->file) : NULL;
    unsigned relocated = 0;
    if (census == NULL)
        return;
    for (unsigned from = 0, to; from < census->count; from = to) {
        for (to = from; to < census->count && census->had[to].backing == census->had[from].backing;)
            to++;
        relocated += relocate_had(region, s, census->had + from, to - from);
        if (!alone && relocated == THREADS_FILES)
            break;
    }
    velo_census_free(census);
    memset(s->file, 0, sizeof s->file);
    atomic_store(&next_ns, monotonic_ns() + CENSUS_EVERY_NS);
}

/* ---- the other threads ----------------------------------------------------------------------- */

#define GATE_TRIES 4000
#define GATE_NS 50000l /* so a writer has 0.2 s to come to its end */

_Atomic uint32_t velo_gate_inside;
_Atomic uint32_t velo_gate_closed;

void velo_gate_forked(void)
{
    atomic_store(&velo_gate_inside, 0);
    atomic_store(&velo_gate_closed, 0);
}

__attribute__((constructor(105))) static void note_forks(void)
{
    if (velo_here() != NULL)
        pthread_atfork(velo_before_child, NULL, velo_gate_forked);
}

void velo_gate_wait(void)
{
    while (atomic_load(&velo_gate_closed) != 0) {
        atomic_fetch_sub(&velo_gate_inside, 1);
        velo_os_pause(GATE_NS);
        atomic_fetch_add(&velo_gate_inside, 1);
    }
}

/* One file at a time, and no handler of this thread in between, which might want to write. False: some
 * thread writes all the time, or was cancelled while it did. */
static bool gate_close(uint64_t *signals)
{
    const uint64_t all = ~0ull;
    velo_sys4(SYS_rt_sigprocmask, SIG_SETMASK, velo_word(&all), velo_word(signals), sizeof all);
    for (int tries = 0; tries < GATE_TRIES; tries++) {
        uint32_t nobody = 0;
        if (atomic_compare_exchange_strong(&velo_gate_closed, &nobody, 1))
            break;
        velo_os_pause(tries < GLANCES ? GATE_NS : PAUSE_NS);
        if (tries + 1 == GATE_TRIES)
            return false;
    }
    for (int tries = 0; atomic_load(&velo_gate_inside) != 0; tries++) {
        if (tries == GATE_TRIES) {
            atomic_store(&velo_gate_closed, 0);
            return false;
        }
        velo_os_pause(GATE_NS);
    }
    return true;
}

static void gate_open(bool held, const uint64_t *signals)
{
    if (held)
        atomic_store(&velo_gate_closed, 0);
    velo_sys4(SYS_rt_sigprocmask, SIG_SETMASK, velo_word(signals), 0, sizeof *signals);
}

/* ---- for the wrappers ------------------------------------------------------------------------ */

/* NULL when the parent of a vfork child would notice. */
static struct scratch *scratch_new(void)
{
    if (velo_here() == NULL || velo_vfork_child)
        return NULL;
    const long address = velo_sys6(SYS_mmap, 0, sizeof(struct scratch), PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return address < 0 && address > -4096 ? NULL : (struct scratch *)address;
}

static void scratch_free(struct scratch *s)
{
    velo_sys2(SYS_munmap, velo_word(s), sizeof *s);
}

static int relocate_descriptor(struct velo_region *region, int fd, uint32_t node, struct scratch *s,
                               int attempts)
{
    struct velo_snapshot snapshot;
    if (velo_snapshot_take(region, node, &snapshot) == 0 && snapshot.state != VELO_BACKED)
        return 0; /* another thread was here before us */
    return find_file(s, fd) ? relocate(region, node, s, attempts) : -ENOENT;
}

static int relocate_within(int fd, uint32_t node, int attempts, bool others)
{
    uint64_t signals;
    struct scratch *s = scratch_new();
    if (s == NULL)
        return -ENOSPC;
    const bool held = gate_close(&signals);
    if (held && others)
        relocate_many(velo_here(), s);
    const int rc = held ? relocate_descriptor(velo_here(), fd, node, s, attempts) : -EBUSY;
    gate_open(held, &signals);
    scratch_free(s);
    return rc == 0 ? 0 : -ENOSPC;
}

int velo_relocate_descriptor(int fd, uint32_t node)
{
    const bool hasty = is_hasty();
    const int rc = relocate_within(fd, node, hasty ? ATTEMPTS_HASTY : ATTEMPTS_MAX, has_many());
    if (rc != 0 && !hasty)
        atomic_store(&hasty_until_ns, monotonic_ns() + HASTY_NS);
    return rc;
}

int velo_relocate_soon(int fd, uint32_t node)
{
    return relocate_within(fd, node, ATTEMPTS_SOON, false);
}

void velo_relocate_many(void)
{
    uint64_t signals;
    struct scratch *s = has_many() ? scratch_new() : NULL;
    if (s == NULL)
        return;
    const bool held = gate_close(&signals);
    if (held)
        relocate_many(velo_here(), s);
    gate_open(held, &signals);
    scratch_free(s);
}

static int relocate_node(struct velo_region *region, uint32_t node, struct scratch *s, bool waits)
{
    struct velo_snapshot snapshot;
    if (velo_snapshot_take(region, node, &snapshot) != 0 || snapshot.state != VELO_BACKED)
        return -EXDEV;
    velo_backing_path(region, snapshot.backing, s->file);
    return relocate(region, node, s, waits ? ATTEMPTS_MAX : GLANCES);
}

int velo_relocate_place(const struct velo_place *place, bool waits)
{
    struct velo_region *region = velo_here();
    if (place->kind != VELO_HOSTED || place->node == 0)
        return -EXDEV;
    struct scratch *s = scratch_new();
    uint64_t signals;
    if (s == NULL)
        return -EXDEV;
    const bool held = gate_close(&signals);
    int rc = -EXDEV;
    if (held && place->type == VELO_REGULAR) {
        rc = relocate_node(region, place->node, s, waits);
    } else if (held && place->type == VELO_DIRECTORY) {
        uint32_t node = 0;
        do /* all or nothing: -EXDEV when there was none */
            node = velo_next_left(region, place->node, node);
        while (node != 0 && (rc = relocate_node(region, node, s, waits)) == 0);
    }
    gate_open(held, &signals);
    scratch_free(s);
    return rc;
}

/* ---- before we leave ------------------------------------------------------------------------- */

/* One open descriptor is enough: all that lead to the same file go with it. What others share stays in
 * memory, and a shard puts it. */
void velo_relocate_all(struct velo_region *region)
{
    for (int fd = 0; fd < (int)VELO_WRITE_CREDITS_MAX; fd++) {
        const uint32_t node = velo_write_credit(fd) == 0 ? 0 : velo_node_of_fd(region, fd);
        const struct velo_place place = {.kind = VELO_HOSTED, .type = VELO_REGULAR, .node = node};
        if (node != 0)
            velo_relocate_place(&place, false);
    }
}
