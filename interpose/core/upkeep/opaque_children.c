/* opaque_children.c - what a program that could not be entered leaves running when it ends.
 *
 * Velo does not see the start of its children, so they are looked for when a walk of any process finds
 * the program dead. They do not have the arena in their memory, nor ever will (or have beside it the
 * mark of a process that was inside and went away), and
 *   carry its name in their environment, or
 *   dropped that and are what is left of the program's process group, or
 *   are another user's, began after the program did and are of its session.
 * They are watched as the program was, until one becomes a program that we enter (opaque.c).
 *
 * In    a slot of the program that ended
 * Out   slots of its children, before its own is given back
 * Never more than one look at each process, and for a short program at those that are younger. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "core/arena/lock.h"
#include "kernel/dents.h"
#include "kernel/os.h"
#include "kernel/text.h"
#include "peers.h"
#include "core/arena/process.h"
#include "core/disk/reconcile.h"
#include "core/tree/tree.h"
#include "core/upkeep/opaque_children.h"
#include "core/upkeep/opaque.h"

#define MARK_BYTES 4096
#define SHORT_NS 1000000000ull /* in a second numbers do not come round */
#define RANGE_MAX 4096u
#define TEXT_BYTES 262144u /* untouched pages of it cost nothing */

struct search {
    struct velo_region *region;
    const struct velo_opaque_slot *ended;
    uint32_t self;
    size_t arena_length, inode_length;
    char arena[300];   /* "VELO_ARENA=..." */
    char mark[VELO_MARK_BYTES]; /* the same for a program that must not know the arena */
    char inode[24];    /* " <inode number> " of the mapped file */
    char gone[24];     /* the same of the file that a process maps when it is opaque for good */
    char text[TEXT_BYTES];
};

/* ---- /proc ----------------------------------------------------------------------------------- */

static int open_of(uint32_t pid, const char *name)
{
    char path[40] = "/proc/";
    char *end = path + 6 + velo_write_decimal(path + 6, pid);
    strcpy(stpcpy(end, "/"), name);
    return velo_os_open(path, O_RDONLY | O_CLOEXEC, 0);
}

/* The number that was given to a process last, or 0. */
static uint32_t newest_process(void)
{
    char text[128];
    velo_os_read_text("/proc/loadavg", text, sizeof text);
    const char *last = strrchr(text, ' ');
    return last == NULL ? 0 : (uint32_t)velo_read_decimal(last + 1);
}

/* ---- one process ----------------------------------------------------------------------------- */

struct words { /* of an environment */
    int readable, arena, disabled, preloaded;
};

/* More than fits is not read: a process with so long an environment is not looked into any further. */
static struct words words_of(struct search *search, uint32_t pid)
{
    struct words words = {0, 0, 0, 0};
    const int fd = open_of(pid, "environ");
    const long got = fd < 0 ? fd : velo_sys3(SYS_read, fd, velo_word(search->text), TEXT_BYTES - 1);
    if (fd >= 0)
        velo_os_close(fd);
    words.readable = got >= 0;
    if (got < 0)
        return words;
    search->text[got] = 0;
    for (const char *at = search->text; at < search->text + got; at += strlen(at) + 1) {
        words.arena |= strcmp(at, search->arena) == 0 || strcmp(at, search->mark) == 0;
        words.disabled |= strcmp(at, "VELO_DISABLE=1") == 0;
        words.preloaded |= strncmp(at, "LD_PRELOAD=", 11) == 0 && strstr(at, "/libvelo") != NULL;
    }
    return words;
}

static int is_of_our_class(uint32_t pid)
{
    unsigned char head[5] = {0};
    const int fd = open_of(pid, "exe");
    if (fd < 0)
        return 0;
    velo_sys3(SYS_read, fd, velo_word(head), sizeof head);
    velo_os_close(fd);
    return head[EI_CLASS] == ELFCLASS64;
}

static int names_loader(const char *maps)
{
    static const char *const loaders[] = {"/ld-linux", "/ld-2.", "/ld.so", "/ld64.so"};
    for (size_t i = 0; i < sizeof loaders / sizeof loaders[0]; i++)
        if (strstr(maps, loaders[i]) != NULL)
            return 1;
    return 0;
}

/* Does the process have the arena in its memory, or a loader that is about to load us? A read of maps
 * ends with a whole line. */
static int is_inside(struct search *search, uint32_t pid, int preloaded)
{
    const int fd = open_of(pid, "maps");
    int found = 0, gone = 0;
    if (fd < 0)
        return 0;
    const int loads = preloaded && is_of_our_class(pid);
    while (!gone) {
        const long got = velo_sys3(SYS_read, fd, velo_word(search->text), TEXT_BYTES - 1);
        if (got <= 0)
            break;
        search->text[got] = 0;
        found |=
            strstr(search->text, search->inode) != NULL || (loads && names_loader(search->text));
        gone = strstr(search->text, search->gone) != NULL;
    }
    velo_os_close(fd);
    return found && !gone;
}

static int is_enlisted(const struct velo_region *region, uint32_t pid)
{
    const uint64_t since_ns = velo_enlisted_since(region, pid);
    return since_ns != 0 && !velo_thread_dead(pid, since_ns);
}

/* Of a process without the arena's name in its environment: did the program start it all the same? */
static int is_stray(const struct search *search, uint32_t pid, int readable)
{
    struct velo_thread thread;
    const uint32_t group = atomic_load(&search->ended->group);
    if ((uint32_t)velo_sys1(SYS_getsid, pid) != atomic_load(&search->ended->session) ||
        velo_thread_probe(pid, &thread) != 0 || thread.state == 'Z' || thread.state == 'X' ||
        thread.start_ns + VELO_NS_PER_TICK < atomic_load(&search->ended->since_ns))
        return 0;
    if (!readable)
        return 1;
    /* A child of another process in the group, a shell's, is not what the program left behind. */
    return (uint32_t)velo_sys1(SYS_getpgid, pid) == group &&
           (uint32_t)velo_sys1(SYS_getpgid, thread.parent) != group;
}

static void consider(struct search *search, uint32_t pid)
{
    const uint32_t ended = atomic_load(&search->ended->pid);
    if (pid == search->self || pid == ended ||
        velo_sys3(SYS_tgkill, pid, pid, 0) == -ESRCH || /* ended, or a thread and no process */
        is_enlisted(search->region, pid))
        return;
    const struct words words = words_of(search, pid);
    if (words.disabled || (!words.arena && !is_stray(search, pid, words.readable)) ||
        is_inside(search, pid, words.preloaded))
        return;
    velo_opaque_enter(search->region, pid, atomic_load(&search->ended->tally));
}

/* ---- all that there are ---------------------------------------------------------------------- */

/* The number of the next process in /proc; 0 behind the last. */
static uint32_t next_process(struct velo_dents *proc)
{
    for (const struct velo_dent *dent; (dent = velo_dents_next(proc)) != NULL;)
        if (dent->name[0] >= '1' && dent->name[0] <= '9')
            return (uint32_t)velo_read_decimal(dent->name);
    return 0;
}

static void consider_all(struct search *search)
{
    _Alignas(8) char dents[4096];
    const int fd = velo_os_open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    struct velo_dents proc = {.fd = fd, .buffer = dents, .size = sizeof dents};
    for (uint32_t pid; (pid = next_process(&proc)) != 0;)
        consider(search, pid);
    if (fd >= 0)
        velo_os_close(fd);
}

/* " <inode number> " of a file of the arena; false: it is not there. */
static int inode_text(struct search *search, const char *name, char out[24])
{
    struct stat stat;
    strcpy(stpcpy(search->text, search->region->directory), name);
    if (velo_os_lstat(search->text, &stat) != 0)
        return 0;
    out[0] = ' ';
    const size_t end = 1 + velo_write_decimal(out + 1, stat.st_ino);
    out[end] = ' ';
    out[end + 1] = 0;
    return 1;
}

static int prepare(struct search *search)
{
    const char *directory = search->region->directory;
    strcpy(stpcpy(search->arena, "VELO_ARENA="), directory);
    velo_arena_mark(directory, search->mark);
    return inode_text(search, "/meta", search->inode) && inode_text(search, "/clock", search->gone);
}

void velo_opaque_children_enter(struct velo_region *region, const struct velo_opaque_slot *slot)
{
    const uint32_t ended = atomic_load(&slot->pid);
    struct search *search = ended == 0 ? NULL : velo_os_memory(sizeof *search);
    if (search == NULL)
        return;
    search->region = region;
    search->ended = slot;
    search->self = (uint32_t)velo_sys0(SYS_getpid);
    const uint32_t newest = newest_process();
    const int is_short = velo_boottime_ns() - atomic_load(&slot->since_ns) < SHORT_NS &&
                         newest >= ended && newest - ended < RANGE_MAX;
    if (prepare(search) && is_short)
        for (uint32_t pid = ended + 1; pid <= newest; pid++)
            consider(search, pid);
    else if (search->gone[0] != 0)
        consider_all(search);
    velo_os_unmap(search, sizeof *search);
}

int velo_maps_arena(struct velo_region *region, uint32_t pid)
{
    struct search *search = velo_os_memory(sizeof *search);
    if (search == NULL)
        return 0;
    search->region = region;
    const int inside = prepare(search) && is_inside(search, pid, 0);
    velo_os_unmap(search, sizeof *search);
    return inside;
}

/* ---- processes that went away ---------------------------------------------------------------- */

/* A page that is never read, of a file that is mapped for nothing else; children by fork have it, too. */
void velo_mark_gone(struct velo_region *region)
{
    char path[sizeof region->directory + 8];
    strcpy(stpcpy(path, region->directory), "/clock");
    const int fd = velo_os_open(path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0 || region->gone != NULL) {
        if (fd >= 0)
            velo_os_close(fd);
        return;
    }
    const long at = velo_sys6(SYS_mmap, 0, MARK_BYTES, PROT_NONE, MAP_PRIVATE, fd, 0);
    velo_os_close(fd);
    if (at > 0 || at < -4095)
        region->gone = (unsigned char *)at;
}

void velo_mark_back(struct velo_region *region)
{
    if (region->gone != NULL)
        velo_sys2(SYS_munmap, velo_word(region->gone), MARK_BYTES);
    region->gone = NULL;
}

/* ---- of a process that was there before ------------------------------------------------------ */

#define GENERATIONS_MAX 16

/* Was `pid` started since then by `peer`, or by a process of which that is true? */
static int is_young_kin(uint32_t pid, uint32_t peer, uint64_t since_ns)
{
    struct velo_thread thread;
    for (int generation = 0; generation < GENERATIONS_MAX && pid > 1; generation++) {
        if (velo_thread_probe(pid, &thread) != 0)
            return 0;
        if (generation == 0 && (thread.start_ns + VELO_NS_PER_TICK < since_ns ||
                                thread.state == 'Z' || thread.state == 'X'))
            return 0;
        if (thread.parent == peer)
            return 1;
        pid = thread.parent;
    }
    return 0;
}

void velo_descendants_enter(struct velo_region *region, uint32_t peer, uint64_t since_ns,
                            uint32_t tally)
{
    _Alignas(8) char dents[4096];
    const int fd = velo_os_open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    struct velo_dents proc = {.fd = fd, .buffer = dents, .size = sizeof dents};
    for (uint32_t pid; (pid = next_process(&proc)) != 0;)
        if (is_young_kin(pid, peer, since_ns) && !is_enlisted(region, pid))
            velo_opaque_enter(region, pid, tally);
    if (fd >= 0)
        velo_os_close(fd);
}
