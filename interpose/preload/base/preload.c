/* preload.c - a process finds its arena, enlists, and learns what comes after it.
 *
 * In    $VELO_ARENA, $VELO_DISABLE
 * Out   one region for all wrappers, or none: then every call passes through untouched
 * Never a descriptor, thread, signal handler or byte of output left behind in the host program. */
#include "preload.h"

#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "objects.h"
#include "raw.h"
#include "wire/zmtp.h"

#define ASK_TIMEOUT_MS 60000u   /* a shard that evicts writes to a disk meanwhile */
#define ASK_GRACE_MS 5000u /* no listener: a killed router may come back. $VELO_GRACE_MS */
#define ASK_RETRY_MS 50u
#define BARRIER_TIMEOUT_MS 610000u /* a little more than the router gives its shards */
#define ATTACH_SPINS_MAX 100000 /* of sched_yield, while another thread attaches */

_Atomic int velo_attachment;
struct velo_region velo_the_region;
void (*velo_sud_begin_thread)(void);
_Thread_local int velo_vfork_child __attribute__((tls_model("initial-exec")));
static _Thread_local int attaching __attribute__((tls_model("initial-exec")));

char velo_library_path[1024];
const char *velo_single_threaded;
char velo_arena_assignment[256 + 16];
char velo_arena_mark_assignment[VELO_MARK_BYTES];
uid_t velo_attached_as;

void *velo_next_slow(_Atomic(void *) *slot, const char *name)
{
    void *function = velo_real_dlsym(RTLD_NEXT, name);
    atomic_store_explicit(slot, function, memory_order_relaxed);
    return function;
}

/* ---- asking a shard -------------------------------------------------------------------------- */

static int ask_once(const char *socket, uint32_t verb, uint32_t shard, uint64_t argument)
{
    unsigned char text[12];
    memcpy(text, &shard, 4); /* both architectures are little-endian, as the wire is */
    memcpy(text + 4, &argument, 8);
    const struct velo_bytes payload = {text, sizeof text};
    size_t length = 0;
    unsigned char reply[256];
    const char *word = verb == VELO_ASK_LOAD        ? "LOAD"
                       : verb == VELO_ASK_WRITEBACK ? "WRITEBACK"
                       : verb == VELO_ASK_UNTETHER  ? "TETHER"
                                                    : "SPACE";
    const int rc =
        velo_request(socket, word, &payload, 1, ASK_TIMEOUT_MS, reply, sizeof reply, &length);
    if (rc <= 0)
        return rc;
    return rc < 200 ? -rc : -EIO;
}

static uint32_t grace_ms = ASK_GRACE_MS;

/* Repeating a request is harmless, so a router that was killed and comes back costs a wait. Once no
 * router came back in time, the next requests try once and do not wait. */
static int ask(struct velo_region *region, uint32_t verb, uint32_t shard, uint64_t argument)
{
    static _Atomic int gave_up;
    const char *socket = velo_socket_of(region);
    const uint32_t patience_ms = atomic_load(&gave_up) ? 0 : grace_ms;
    for (uint32_t waited_ms = 0;; waited_ms += ASK_RETRY_MS) {
        const int rc = ask_once(socket, verb, shard, argument);
        const bool nobody = rc == -ECONNREFUSED || rc == -ECONNRESET;
        if (!nobody || waited_ms >= patience_ms) {
            atomic_store(&gave_up, nobody);
            return nobody ? -ECONNREFUSED : rc;
        }
        const struct timespec pause = {0, ASK_RETRY_MS * 1000000l};
        velo_sys2(SYS_nanosleep, velo_word(&pause), 0);
    }
}

/* ---- attaching ------------------------------------------------------------------------------- */

static const char *environment_value(const char *name, size_t length)
{
    for (char **entry = environ; entry != NULL && *entry != NULL; entry++)
        if (strncmp(*entry, name, length) == 0 && (*entry)[length] == '=')
            return *entry + length + 1;
    return NULL;
}

static void take_grace(const char *text)
{
    uint32_t value = 0;
    if (text == NULL || *text == 0)
        return;
    for (; *text >= '0' && *text <= '9' && value < 100000000; text++)
        value = value * 10 + (uint32_t)(*text - '0');
    if (*text == 0)
        grace_ms = value;
}

static void remember_ourselves(const char *arena)
{
    struct velo_object own;
    if (velo_object_at(velo_library_path, &own) && own.path != NULL &&
        strlen(own.path) < sizeof velo_library_path)
        strcpy(velo_library_path, own.path);
    velo_attached_as = (uid_t)velo_sys0(SYS_geteuid);
    velo_arena_mark(arena, velo_arena_mark_assignment);
    memcpy(velo_arena_assignment, "VELO_ARENA=", 11);
    strcpy(velo_arena_assignment + 11, arena);
}

/* We cannot see what is hosted (no address space left, another build's arena). So we run on the disk's
 * tree, like a program that cannot be entered: the server brings the tree up to date first, and watches
 * our end. If no server answers, there is nothing more to do. */
static void run_unseeing(const char *arena)
{
    char socket[sizeof velo_the_region.directory + 8];
    unsigned char text[4 + 32] = {0}, reply[256];
    const uint32_t pid = (uint32_t)velo_sys0(SYS_getpid);
    const size_t length = strlen(arena);
    memcpy(socket, arena, length);
    memcpy(socket + length, "/router", 8);
    memcpy(text, &pid, 4);
    const char *name = program_invocation_short_name;
    const size_t named = name == NULL ? 0 : strnlen(name, 31);
    memcpy(text + 4, name == NULL ? "" : name, named);
    const struct velo_bytes payload = {text, 4 + named};
    size_t got = 0;
    velo_request(socket, "OPAQUE", &payload, 1, BARRIER_TIMEOUT_MS, reply, sizeof reply, &got);
}

/* VELO_ATTACHED, VELO_OFF, or VELO_FRESH when libc has no environment yet. */
static int attach(void)
{
    if (environ == NULL)
        return VELO_FRESH;
    const char *disable = environment_value("VELO_DISABLE", 12);
    const char *arena = environment_value("VELO_ARENA", 10);
    if (arena == NULL || arena[0] != '/' || strlen(arena) >= sizeof velo_the_region.directory ||
        (disable != NULL && strcmp(disable, "1") == 0))
        return VELO_OFF;
    const int rc = velo_region_attach(&velo_the_region, arena);
    if (rc != 0) {
        if (rc != -ENOENT) /* the arena is gone: all it held is on disk */
            run_unseeing(arena);
        return VELO_OFF;
    }
    velo_the_region.ask = ask;
    take_grace(environment_value("VELO_GRACE_MS", 13));
    remember_ourselves(arena);
    return VELO_ATTACHED;
}

/* Another thread attaches: a moment later its answer is ours. A re-entry (attaching calls
 * something that is interposed) must not wait for itself. */
static struct velo_region *wait_for_other(void)
{
    for (int spin = 0; spin < ATTACH_SPINS_MAX; spin++) {
        const int state = atomic_load_explicit(&velo_attachment, memory_order_acquire);
        if (state == VELO_ATTACHED || state == VELO_SUD)
            return &velo_the_region;
        if (state != VELO_ATTACHING)
            return NULL;
        velo_sys0(SYS_sched_yield);
    }
    return NULL;
}

struct velo_region *velo_attach_now(void)
{
    int fresh = VELO_FRESH;
    if (atomic_load_explicit(&velo_attachment, memory_order_acquire) == VELO_SUD) {
        velo_sud_begin_thread();
        return &velo_the_region;
    }
    if (attaching)
        return NULL;
    if (!atomic_compare_exchange_strong(&velo_attachment, &fresh, VELO_ATTACHING))
        return fresh == VELO_ATTACHED ? &velo_the_region : wait_for_other();
    attaching = 1;
    const int saved = errno;
    const int state = attach();
    errno = saved;
    attaching = 0;
    atomic_store_explicit(&velo_attachment, state, memory_order_release);
    return state == VELO_ATTACHED ? &velo_the_region : NULL;
}

void velo_switch_off(void)
{
    atomic_store_explicit(&velo_attachment, VELO_OFF, memory_order_release);
}
