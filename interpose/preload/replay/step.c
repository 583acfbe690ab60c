/* step.c - in a build tool: is a step answered, or recorded; what it says; its end.
 *
 * A recorded step has a slot here while it runs: its log, its pid, the pipes that lead from it to us. */
#include "step.h"

#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "facts.h"
#include "freeze.h"
#include "kernel/os.h"
#include "kernel/text.h"
#include "probe.h"
#include "preload/base/raw.h"
#include "preload/path/claim.h"
#include "restore.h"

#define SLOTS 256
#define CANDIDATES_MAX 8
#define TEXT_MAX (32u << 10) /* what fits into a pipe whose reader waits for us */

struct running {
    _Atomic int taken;
    _Atomic pid_t pid;
    struct velo_log *log;
    uint64_t pipes[2];
    uint32_t ended; /* pipes of which the end was read, a bit each */
    char path[VELO_UNIT_MAX];
};

static struct running running[SLOTS];
_Atomic uint32_t velo_steps_running;

/* ---- who starts units ------------------------------------------------------------------------ */

static const char *base_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

static bool is_one_of(const char *name, const char *const names[])
{
    for (; *names != NULL; names++)
        if (strcmp(name, *names) == 0)
            return true;
    return false;
}

bool velo_is_orchestrator(const char *program, char *const argv[])
{
    static const char *const always[] = {"ninja", "ninja-build", "samu",  "make", "gmake", "cargo",
                                         "ctest", "meson",       "scons", "waf",  "bazel", "npm",
                                         "npx",   "pnpm",        "yarn",  NULL};
    const char *name = base_of(program);
    if (is_one_of(name, always))
        return true;
    if (strcmp(name, "cmake") != 0 || argv == NULL || argv[0] == NULL || argv[1] == NULL)
        return false;
    return strcmp(argv[1], "--build") == 0 || strcmp(argv[1], "--install") == 0;
}

/* Who is asked for tests wants them run. */
static bool asks_for_tests(char *const argv[])
{
    static const char *const goals[] = {"test",         "tests",     "check", "checks", "install",
                                        "installcheck", "distcheck", "bench", "run",    NULL};
    for (size_t i = 1; argv != NULL && argv[0] != NULL && argv[i] != NULL; i++)
        if (is_one_of(argv[i], goals) || strncmp(argv[i], "test-", 5) == 0 ||
            strncmp(argv[i], "check-", 6) == 0)
            return true;
    return false;
}

static bool starts_units;

bool velo_starts_units(void)
{
    return starts_units;
}

static void learn_what_we_are(int argc, char *argv[])
{
    static const char *const starters[] = {"ninja", "ninja-build", "samu", "make",
                                           "gmake", "cargo",       NULL};
    if (velo_replay_mode() == VELO_REPLAY_OFF || argc < 1)
        return;
    const char *name = program_invocation_short_name;
    if (velo_is_orchestrator(name, argv))
        velo_unit_leave();
    starts_units = is_one_of(name, starters) && !asks_for_tests(argv) && velo_unit == NULL;
}

/* glibc gives constructors the arguments of main; after unit.c's (102). */
__attribute__((constructor(103))) static void begin(int argc, char *argv[])
{
    if (velo_here() != NULL)
        learn_what_we_are(argc, argv);
}

/* ---- recording ------------------------------------------------------------------------------- */

static int64_t monotonic_ns(void)
{
    struct timespec now = {0, 0};
    velo_sys2(SYS_clock_gettime, CLOCK_MONOTONIC, velo_word(&now));
    return velo_ns(&now);
}

static int take_slot(void)
{
    for (int slot = 0; slot < SLOTS; slot++) {
        int none = 0;
        if (atomic_load_explicit(&running[slot].taken, memory_order_relaxed) == 0 &&
            atomic_compare_exchange_strong(&running[slot].taken, &none, 1))
            return slot;
    }
    return -1;
}

static void give_slot(int slot)
{
    struct running *one = &running[slot];
    velo_log_unmap(one->log);
    atomic_store(&one->pid, 0);
    atomic_store(&one->taken, 0);
}

static bool make_log(char path[VELO_UNIT_MAX])
{
    static _Atomic uint32_t number;
    struct velo_log head = {.magic = VELO_LOG_MAGIC, .state = 1};
    char *end = stpcpy(stpcpy(path, velo_the_region.directory), VELO_LOG_DIRECTORY "/");
    end += velo_write_decimal(end, (uint64_t)velo_sys0(SYS_getpid));
    *end++ = '-';
    end += velo_write_decimal(end, atomic_fetch_add(&number, 1));
    strcpy(end, ".u");
    atomic_store(&head.cursor, sizeof head);
    const int fd = (int)raw_openat(AT_FDCWD, path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    const bool made = velo_sys2(SYS_ftruncate, fd, VELO_LOG_BYTES) == 0 &&
                      velo_sys4(SYS_pwrite64, fd, velo_word(&head), sizeof head, 0) == sizeof head;
    raw_close(fd);
    if (!made)
        raw_unlink(AT_FDCWD, path, 0);
    return made;
}

/* Texts one after the other, each ended by 0, as one record. */
static void append_key(struct velo_log *log, const struct velo_step *step)
{
    unsigned char *buffer = velo_buffer_take();
    size_t used = 0;
    char cwd[PATH_MAX];
    if (buffer == NULL)
        return;
    const char *start[] = {step->program, velo_absolute_text(AT_FDCWD, ".", cwd) < 0 ? "" : cwd};
    for (size_t i = 0; i < 2; i++, used++)
        used = (size_t)((unsigned char *)stpcpy((char *)buffer + used, start[i]) - buffer);
    for (char *const *argument = step->argv; *argument != NULL; argument++) {
        const size_t length = strlen(*argument) + 1;
        if (used + length > VELO_BUFFER_BYTES / 2)
            break;
        memcpy(buffer + used, *argument, length);
        used += length;
    }
    velo_log_append(log, VELO_RECORD_KEY, 0, buffer, used, NULL, 0);
    used = 0;
    for (char *const *entry = step->envp; entry != NULL && *entry != NULL; entry++)
        if (velo_variable_counts(*entry) && used + strlen(*entry) + 2 < VELO_BUFFER_BYTES)
            used += velo_variable_text(*entry, (char *)buffer + used, VELO_BUFFER_BYTES - used) + 1;
    velo_log_append(log, VELO_RECORD_ENVIRONMENT, 0, buffer, used, NULL, 0);
    velo_buffer_give(buffer);
}

static void record(struct velo_step *step, struct velo_begun *begun, const struct velo_fact *why,
                   int64_t began_ns, int64_t began_at_ns)
{
    const int slot = take_slot();
    begun->decision = VELO_STEP_PLAIN;
    if (slot < 0)
        return;
    struct running *one = &running[slot];
    one->log = make_log(one->path) ? velo_log_map(one->path) : NULL;
    if (one->log == NULL) {
        atomic_store(&one->taken, 0);
        return;
    }
    struct velo_log *log = one->log;
    one->ended = 0;
    memcpy(one->pipes, step->pipes, sizeof one->pipes);
    memcpy(log->key, step->key, sizeof log->key);
    memcpy(log->rest, step->rest, sizeof log->rest);
    log->streams = step->streams;
    memcpy(log->streams_inode, step->inodes, sizeof log->streams_inode);
    log->began_ns = began_ns;
    log->began_at_ns = began_at_ns;
    log->expected = begun->entry == NULL ? 0 : begun->entry->number + 1;
    atomic_store(&log->started, 1);
    append_key(log, step);
    if (why != NULL)
        velo_log_append(log, VELO_RECORD_WHY, 0, &why->number, sizeof why->number, NULL, 0);
    strcpy(stpcpy(begun->assignment, "VELO_UNIT="), one->path);
    begun->slot = slot;
    begun->decision = VELO_STEP_RECORDED;
}

/* ---- answering ------------------------------------------------------------------------------- */

static bool may_answer(const struct velo_step *step, const struct velo_entry *entry)
{
    if ((entry->flags & VELO_ENTRY_NEEDS_REST) != 0 &&
        memcmp(entry->rest, step->rest, sizeof step->rest) != 0)
        return false;
    return entry->text_size + entry->errors_size <= TEXT_MAX;
}

/* One line for each answer, of which the sealer tells the user: number of the entry, microseconds. */
void velo_step_counts(const struct velo_begun *begun, const struct velo_step *step,
                      int64_t began_ns)
{
    char path[sizeof velo_the_region.directory + 16], line[64];
    (void)step;
    strcpy(stpcpy(path, velo_the_region.directory), VELO_LOG_DIRECTORY "/answers");
    char *end = line + velo_write_decimal(line, begun->entry->number);
    *end++ = ' ';
    end += velo_write_decimal(end, (uint64_t)(monotonic_ns() - began_ns) / 1000);
    *end++ = '\n';
    const int fd = (int)raw_openat(AT_FDCWD, path,
                                   O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return;
    velo_sys3(SYS_write, fd, velo_word(line), end - line);
    raw_close(fd);
}

/* The entry whose facts all hold; else NULL, and the first fact that did not of the newest that has this key. */
static const struct velo_entry *find_entry(const struct velo_index *index,
                                           const struct velo_step *step,
                                           const struct velo_fact **why)
{
    const struct velo_entry *entry = NULL;
    for (int i = 0; i < CANDIDATES_MAX; i++) {
        entry = velo_index_find(index, step->key, entry);
        if (entry == NULL)
            return NULL;
        if (!may_answer(step, entry))
            continue;
        const struct velo_fact *failed = velo_facts_fail(index, entry);
        if (failed == NULL)
            return entry;
        if (*why == NULL)
            *why = failed;
    }
    return NULL;
}

void velo_step_decide(struct velo_step *step, struct velo_begun *begun)
{
    const struct velo_fact *why = NULL;
    *begun = (struct velo_begun){.decision = VELO_STEP_PLAIN};
    if (velo_is_orchestrator(step->program, step->argv) || !velo_step_identify(step))
        return;
    /* Before any fact is probed at: an edit after this is newer than what is restored. */
    const int64_t stamp = velo_stamp(velo_here(), 1), began_at_ns = monotonic_ns();
    const enum velo_replay_mode mode = velo_replay_mode();
    begun->index = mode == VELO_REPLAY_RECORD ? NULL : velo_index_there();
    if (begun->index != NULL)
        begun->entry = find_entry(begun->index, step, &why);
    if (begun->entry != NULL && mode == VELO_REPLAY_ON &&
        velo_restore(begun->index, begun->entry, stamp) == 0) {
        begun->decision = VELO_STEP_ANSWERED;
        velo_step_counts(begun, step, began_at_ns);
        return;
    }
    if (mode == VELO_REPLAY_ON)
        begun->entry = NULL;
    record(step, begun, why, stamp, began_at_ns);
}

/* ---- its end --------------------------------------------------------------------------------- */

void velo_step_started(const struct velo_begun *begun, pid_t pid)
{
    if (begun->decision != VELO_STEP_RECORDED)
        return;
    struct running *one = &running[begun->slot];
    if (pid <= 0) {
        raw_unlink(AT_FDCWD, one->path, 0);
        give_slot(begun->slot);
        return;
    }
    one->log->root = (uint32_t)pid;
    atomic_store(&one->pid, pid);
    atomic_fetch_add(&velo_steps_running, 1);
}

static bool was_captured(const struct running *one)
{
    if (one->pipes[0] == 0 || one->pipes[1] == 0)
        return false;
    return one->ended == 3 || (one->pipes[0] == one->pipes[1] && one->ended != 0);
}

/* Renamed when it is whole: the sealer takes only such. */
static void hand_over(struct running *one)
{
    char path[VELO_UNIT_MAX];
    strcpy(path, one->path);
    path[strlen(path) - 1] = 'f';
    raw_rename(AT_FDCWD, one->path, AT_FDCWD, path, 0);
}

void velo_step_ended_now(pid_t pid, int status)
{
    for (int slot = 0; slot < SLOTS; slot++) {
        struct running *one = &running[slot];
        pid_t expected = pid;
        if (atomic_load(&one->taken) == 0 || atomic_load(&one->pid) != pid || WIFSTOPPED(status) ||
            WIFCONTINUED(status) || !atomic_compare_exchange_strong(&one->pid, &expected, -1))
            continue;
        struct velo_log *log = one->log;
        log->status = status;
        log->ended_at_ns = monotonic_ns();
        log->captured = was_captured(one);
        if (status == 0 && atomic_load(&log->taint) == 0)
            velo_freeze(log);
        log->ended_ns = velo_stamp(velo_here(), 0);
        log->state = 2;
        hand_over(one);
        give_slot(slot);
        atomic_fetch_sub(&velo_steps_running, 1);
        return;
    }
}

void velo_step_said_now(int fd, const void *bytes, ssize_t count)
{
    struct stat stat;
    if (raw_fstat(fd, &stat) != 0 || !S_ISFIFO(stat.st_mode))
        return;
    for (int slot = 0; slot < SLOTS; slot++) {
        struct running *one = &running[slot];
        if (atomic_load(&one->taken) == 0 || atomic_load(&one->pid) <= 0)
            continue;
        const unsigned which =
            (one->pipes[0] == stat.st_ino ? 1u : 0u) | (one->pipes[1] == stat.st_ino ? 2u : 0u);
        if (which == 0)
            continue;
        if (count == 0)
            one->ended |= which;
        else
            velo_log_append(one->log, VELO_RECORD_TEXT, which == 2 ? 2 : 1, bytes, (size_t)count,
                            NULL, 0);
        return;
    }
}
