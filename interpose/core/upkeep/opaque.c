/* opaque.c - programs that cannot be entered and see the disk, while we see memory.
 *
 * Before one starts, all is put; when it has ended, all is compared.  In between (bundlers keep a
 * compiler running for as long as they run) the two must not drift apart:
 *   what it changes   each walk asks the kernel for the same path; where the answers differ, that
 *                     directory is compared, at last everything; listings compare first
 *   what we change    new files are born on disk, files are opened there (create.c, file.c, as when
 *                     memory is full), and one that a walk finds in memory is put and leaves it
 * A file that was open for writing when the program started stays in memory; it is put again when it
 * is closed (preload/wrap/io.c) and whenever a walk comes by.  What the program leaves running is
 * watched in its place (opaque_children.c). */
#include "core/disk/reconcile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "core/arena/layout.h"
#include "core/tree/outcome.h"
#include "core/tree/snapshot.h"
#include "core/disk/leave.h"
#include "core/disk/mounts.h"
#include "kernel/os.h"
#include "peers.h"
#include "core/arena/process.h"
#include "core/arena/trace.h"
#include "core/tree/tree.h"
#include "core/upkeep/opaque_children.h"
#include "core/upkeep/opaque.h"
#include "core/upkeep/mounting.h"
#include "core/disk/compare.h"

#define ATTEMPTS_MAX 2 /* the directory, then everything; then the namespace is believed */

/* ---- programs that run ----------------------------------------------------------------------- */

/* A process that is killed in these leaves too much behind: a slot, or a program that seems to run, which is
 * slow. It never leaves too little: a program that seems not to run would see another tree. */
static void enter(struct velo_header *header, uint32_t pid, const struct velo_tally *tally,
                  int stays)
{
    for (uint32_t i = 0; i < VELO_OPAQUE_MAX; i++) {
        struct velo_opaque_slot *slot = &header->opaque_slots[i];
        uint32_t seen = 0;
        if (!atomic_compare_exchange_strong(&slot->pid, &seen, VELO_OPAQUE_CLAIMED))
            continue;
        atomic_store(&slot->stays, (uint32_t)stays);
        atomic_store(&slot->since_ns, velo_boottime_ns());
        atomic_store(&slot->group, (uint32_t)velo_sys1(SYS_getpgid, pid));
        atomic_store(&slot->session, (uint32_t)velo_sys1(SYS_getsid, pid));
        atomic_store(&slot->tally, (uint32_t)(tally - header->opaque));
        velo_kill_point();
        atomic_fetch_add(&header->opaque_running, 1);
        velo_kill_point();
        atomic_store(&slot->pid, pid);
        return;
    }
    /* No slot: no walk will notice the program's end; the next velo exec reconciles. */
}

static void leave(struct velo_header *header, struct velo_opaque_slot *slot, uint32_t pid)
{
    if (!atomic_compare_exchange_strong(&slot->pid, &pid, 0))
        return;
    velo_kill_point();
    atomic_fetch_sub(&header->opaque_running, 1);
}

static void add_time(struct velo_tally *tally, uint64_t since_ns)
{
    atomic_fetch_add_explicit(&tally->nanoseconds, velo_boottime_ns() - since_ns,
                              memory_order_relaxed);
}

static int begin(struct velo_region *region, pid_t pid, const char *name, int stays)
{
    struct velo_flush_result result = {0};
    struct velo_tally *tally = velo_tally_of(region->header->opaque, name);
    const uint64_t before = velo_boottime_ns();
    /* First: what is made from now on is on disk. */
    enter(region->header, (uint32_t)pid, tally, stays);
    velo_flush_cold(region);
    const int rc = velo_flush(region, 0, VELO_FLUSH_LOCK_PATIENCE_MS, &result);
    atomic_fetch_add_explicit(&tally->count, 1, memory_order_relaxed);
    add_time(tally, before);
    velo_escape(region, VELO_ESCAPE_OPAQUE);
    VELO_TRACE(region, OPAQUE_BEGINS, pid, tally - region->header->opaque);
    return rc != 0 ? rc : result.first_error;
}

int velo_opaque_begin(struct velo_region *region, pid_t pid, const char *name)
{
    return begin(region, pid, name, 0);
}

int velo_opaque_leaves(struct velo_region *region, pid_t pid, const char *name)
{
    return begin(region, pid, name, 1);
}

void velo_opaque_started(struct velo_region *region, pid_t starter, pid_t pid, const char *name)
{
    struct velo_header *header = region->header;
    if (pid != 0)
        enter(header, (uint32_t)pid, velo_tally_of(header->opaque, name), 0);
    for (uint32_t i = 0; i < VELO_OPAQUE_MAX; i++) {
        struct velo_opaque_slot *slot = &header->opaque_slots[i];
        if (atomic_load(&slot->pid) != (uint32_t)starter)
            continue;
        leave(header, slot, (uint32_t)starter);
        break;
    }
}

/* Of a process for which the tree was not put. */
static void await_exit(struct velo_region *region, pid_t pid, const char *name,
                       enum velo_escape reason)
{
    struct velo_tally *tally = velo_tally_of(region->header->opaque, name);
    enter(region->header, (uint32_t)pid, tally, 0);
    atomic_fetch_add_explicit(&tally->count, 1, memory_order_relaxed);
    velo_escape(region, reason);
}

void velo_opaque_await_exit(struct velo_region *region, pid_t pid, const char *name)
{
    await_exit(region, pid, name, VELO_ESCAPE_ATTACH);
}

void velo_core_was_dumped(struct velo_region *region, pid_t pid)
{
    await_exit(region, pid, "(core dumped)", VELO_ESCAPE_OPAQUE);
}

void velo_opaque_enter(struct velo_region *region, uint32_t pid, uint32_t tally)
{
    struct velo_header *header = region->header;
    for (uint32_t i = 0; i < VELO_OPAQUE_MAX; i++)
        if (atomic_load(&header->opaque_slots[i].pid) == pid)
            return;
    enter(header, pid, &header->opaque[tally % VELO_NAMES_MAX], 0);
}

/* The process is dead, or interposed (again). It may be ourselves: we registered, our exec failed and we look
 * again; or a later program of the same process is one that can be entered. */
static int is_over(const struct velo_region *region, const struct velo_opaque_slot *slot,
                   uint32_t pid)
{
    const uint64_t since_ns = atomic_load(&slot->since_ns);
    const int ours = pid == (uint32_t)velo_sys0(SYS_getpid) && atomic_load(&slot->stays) == 0;
    return ours || velo_enlisted_since(region, pid) > since_ns || velo_thread_dead(pid, since_ns);
}

void velo_opaque_poll(struct velo_region *region)
{
    struct velo_header *header = region->header;
    velo_peers_poll(region);
    velo_mounts_poll(region);
    for (uint32_t i = 0; i < VELO_OPAQUE_MAX; i++) {
        struct velo_opaque_slot *slot = &header->opaque_slots[i];
        const uint32_t pid = atomic_load(&slot->pid);
        if (pid == 0 || pid == VELO_OPAQUE_CLAIMED || !is_over(region, slot, pid))
            continue;
        velo_opaque_children_enter(region,
                                   slot); /* before it leaves: one of them is watched at any time */
        struct velo_reconcile_result result;
        const uint64_t before = velo_boottime_ns();
        const int rc = velo_reconcile(region, NULL, NULL, &result);
        add_time(&header->opaque[atomic_load(&slot->tally) % VELO_NAMES_MAX], before);
        if (rc == -EMFILE || rc == -ENFILE)
            continue; /* by the next walk, of a process that can open a directory */
        leave(header, slot, pid);
        velo_peers_left(region);
    }
}

/* ---- one path -------------------------------------------------------------------------------- */

/* `text` from `start` on as an absolute path; its length, or -ENAMETOOLONG. */
static int absolute(struct velo_region *region, velo_node_id start, const char *text,
                    char path[PATH_MAX])
{
    const size_t length = strlen(text);
    const int above = text[0] == '/' ? 0 : velo_path_of(region, start, path);
    if (above < 0 || (size_t)above + 1 + length >= PATH_MAX)
        return -ENAMETOOLONG;
    path[above] = '/';
    memcpy(path + above + (text[0] != '/'), text, length + 1);
    return above + (text[0] != '/') + (int)length;
}

/* Asks the kernel for the path that was walked. A frame of its own: PATH_MAX bytes. */
__attribute__((noinline)) static int ask_kernel(struct velo_region *region,
                                                const struct velo_walked *walked, struct stat *out)
{
    char path[PATH_MAX];
    const int nofollow = (walked->flags & VELO_WALK_NOFOLLOW) != 0 ? AT_SYMLINK_NOFOLLOW : 0;
    if (absolute(region, walked->start, walked->text, path) < 0)
        return -ENAMETOOLONG;
    return (int)velo_sys4(SYS_newfstatat, AT_FDCWD, velo_word(path), velo_word(out), nofollow);
}

/* The kernel and the namespace both say ENOENT, but perhaps of different names: the program may have made a
 * directory since, or replaced a symlink. Each walk to a prefix compares one name; it follows no last symlink.
 * Mapped: a walk within a walk is too much for a small stack. */
struct prefix {
    char path[PATH_MAX];
    struct velo_place place;
};

static void compare_prefixes(struct velo_region *region, const struct velo_walked *walked)
{
    struct prefix *prefix = velo_os_memory(sizeof *prefix);
    if (prefix == NULL)
        return;
    char *path = prefix->path;
    const int length = absolute(region, walked->start, walked->text, path);
    for (int end = 1; end <= length; end++) {
        const char next = path[end];
        if (next != '/' && next != 0)
            continue;
        path[end] = 0;
        velo_walk(region, path, VELO_WALK_NOFOLLOW | VELO_WALK_A_PREFIX, &prefix->place);
        path[end] = next;
    }
    velo_os_unmap(prefix, sizeof *prefix);
}

static int compare_all(struct velo_region *region)
{
    struct velo_reconcile_result result;
    return velo_reconcile(region, NULL, NULL, &result) == 0;
}

/* The walk came to a name: is it the disk's? */
static int compare_name(struct velo_region *region, const struct velo_walked *walked,
                        const struct velo_place *place, int there, const struct stat *disk)
{
    if (walked->attempt >= ATTEMPTS_MAX || velo_agrees(region, place->at.parent, place->text.name,
                                                       place->text.name_length, there, disk))
        return 0;
    return walked->attempt == 0 ? velo_directory_refresh(region, place->at.parent) == 0
                                : compare_all(region);
}

int velo_opaque_compare(struct velo_region *region, const struct velo_walked *walked,
                        const struct velo_place *place)
{
    struct stat disk;
    const int named = walked->answer == 0;
    if (named && (place->at.kind != VELO_HOSTED || !velo_is_node(place->at.parent)))
        return 0; /* the kernel's, or a root: those are looked for on disk */
    const int there = ask_kernel(region, walked, &disk);
    if (there == -ENOENT && (walked->links != 0 || !named) && walked->attempt == 0 &&
        (walked->flags & VELO_WALK_A_PREFIX) == 0) {
        compare_prefixes(region, walked);
        return 1;
    }
    if (!named)
        return walked->attempt < ATTEMPTS_MAX && there != walked->answer && compare_all(region);
    if (compare_name(region, walked, place, there, &disk))
        return 1;
    if (place->at.type ==
        VELO_REGULAR) /* it could not see it there, nor what others change of it */
        velo_leave_memory(region, place->at.node);
    return 0;
}
