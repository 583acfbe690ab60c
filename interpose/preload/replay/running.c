/* running.c - a table of places in memory that forked children share; each process maps the logs that it needs. */
#include "running.h"

#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "facts.h"
#include "freeze.h"
#include "kernel/os.h"
#include "kernel/text.h"
#include "preload/base/raw.h"
#include "preload/path/claim.h"

#define PLACES 256

/* A place is taken (`taken`), then its step runs (`pid` above 0, and counted). Then a thread that hears of the step's
 * end, or finds that no process is left to hear of it, makes `pid` -1: that thread alone gives the place back. */
struct running {
    _Atomic pid_t taken; /* by this process; 0: free */
    _Atomic pid_t pid; /* above 0: it runs, and the threads counted below may write to its log */
    _Atomic uint32_t inside; /* threads that read one of its pipes */
    _Atomic uint32_t ended; /* pipes of which the end was read, a bit each */
    _Atomic uint32_t missed; /* some of its output was not written down */
    _Atomic uint64_t number; /* of the step: another one has another log in this place */
    uint64_t pipes[2];
    char path[VELO_UNIT_MAX];
};

struct table {
    _Atomic uint32_t count;
    _Atomic uint32_t runs_unseen; /* something was started of whose end we do not hear */
    _Atomic uint64_t numbers;
    _Atomic int high; /* places from here on were never taken */
    struct running places[PLACES];
};

static struct table *table;
static _Atomic uint32_t nothing;
_Atomic uint32_t *velo_running_count = &nothing;

/* What this process has mapped. */
static struct {
    _Atomic uint64_t number;
    struct velo_log *log;
} mapped[PLACES];
static atomic_flag mapping = ATOMIC_FLAG_INIT;

bool velo_running_begin(void)
{
    const long at = velo_sys6(SYS_mmap, 0, sizeof *table, PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at < 0 && at > -4096)
        return false;
    table = (struct table *)(uintptr_t)at;
    velo_running_count = &table->count;
    return true;
}

/* ---- the log of a place ---------------------------------------------------------------------- */

static bool make_log(char path[VELO_UNIT_MAX], uint64_t number)
{
    struct velo_log head = {.magic = VELO_LOG_MAGIC, .state = 1};
    char *end = stpcpy(stpcpy(path, velo_the_region.directory), VELO_LOG_DIRECTORY "/");
    end += velo_write_decimal(end, (uint64_t)velo_sys0(SYS_getpid));
    *end++ = '-';
    end += velo_write_decimal(end, number);
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

/* Waits for no lock: this may be a signal's handler. A thread that finds another one here gets no log. */
struct velo_log *velo_running_log(int place)
{
    const uint64_t number = atomic_load(&table->places[place].number);
    if (atomic_load(&mapped[place].number) == number)
        return mapped[place].log;
    if (atomic_flag_test_and_set(&mapping))
        return NULL;
    if (atomic_load(&mapped[place].number) != number) {
        mapped[place].log = velo_log_map(table->places[place].path);
        atomic_store(&mapped[place].number, number);
    }
    atomic_flag_clear(&mapping);
    return mapped[place].log;
}

const char *velo_running_path(int place)
{
    return table->places[place].path;
}

static int high(void)
{
    return atomic_load_explicit(&table->high, memory_order_relaxed);
}

/* The thread that makes `pid` -1 here is the one that ends the step of this place. */
static bool end(struct running *one, pid_t pid)
{
    if (!atomic_compare_exchange_strong(&one->pid, &pid, -1))
        return false;
    if (pid > 0)
        atomic_fetch_sub(&table->count, 1);
    return true;
}

static void give(int place)
{
    struct running *one = &table->places[place];
    /* A thread that came in before still writes to the log. It may be this thread: a signal's handler may have
     * interrupted its read, and wait for the child. */
    if (atomic_load(&one->inside) == 0 &&
        atomic_load(&mapped[place].number) == atomic_load(&one->number) &&
        mapped[place].log != NULL)
        velo_log_unmap(mapped[place].log);
    atomic_store(&mapped[place].number, 0);
    atomic_store(&one->taken, 0);
}

static int free_place(void)
{
    const pid_t own = (pid_t)velo_sys0(SYS_getpid);
    for (int place = 0; place < PLACES; place++) {
        pid_t none = 0;
        if (atomic_load_explicit(&table->places[place].taken, memory_order_relaxed) != 0 ||
            !atomic_compare_exchange_strong(&table->places[place].taken, &none, own))
            continue;
        int seen = high();
        while (seen <= place && !atomic_compare_exchange_weak(&table->high, &seen, place + 1)) {
        }
        return place;
    }
    return -1;
}

/* A child was killed while it decided, or no process waits for it. */
static void give_abandoned(void)
{
    for (int place = 0; place < PLACES; place++) {
        struct running *one = &table->places[place];
        const pid_t pid = atomic_load(&one->pid), who = pid > 0 ? pid : atomic_load(&one->taken);
        if (pid < 0 || who <= 0 || velo_sys2(SYS_kill, who, 0) != -ESRCH || !end(one, pid))
            continue;
        raw_unlink(AT_FDCWD, one->path, 0);
        give(place);
    }
}

int velo_running_take(const uint64_t pipes[2])
{
    int place = table == NULL ? -1 : free_place();
    if (place < 0 && table != NULL) {
        give_abandoned();
        place = free_place();
    }
    if (place < 0)
        return -1;
    struct running *one = &table->places[place];
    const uint64_t number = atomic_fetch_add(&table->numbers, 1) + 1;
    atomic_store(&one->pid, 0);
    atomic_store(&one->ended, 0);
    atomic_store(&one->missed, 0);
    memcpy(one->pipes, pipes, sizeof one->pipes);
    const bool made = make_log(one->path, number);
    atomic_store(&one->number, number);
    if (made && velo_running_log(place) != NULL)
        return place;
    if (made)
        raw_unlink(AT_FDCWD, one->path, 0);
    give(place);
    return -1;
}

/* ---- beginning and end ----------------------------------------------------------------------- */

bool velo_running_none(void)
{
    return table != NULL && atomic_load(&table->runs_unseen) == 0 &&
           atomic_load(&table->count) == 0;
}

void velo_running_unseen(void)
{
    if (table != NULL)
        atomic_store(&table->runs_unseen, 1);
}

void velo_running_failed(int place)
{
    struct running *one = &table->places[place];
    const pid_t pid = atomic_load(&one->pid);
    if (pid < 0 || !end(one, pid))
        return; /* another one ends it */
    raw_unlink(AT_FDCWD, one->path, 0);
    give(place);
}

void velo_running_started(int place, pid_t pid)
{
    /* Another step's process had this number, and we were not told of its end. */
    for (int other = 0; other < high(); other++)
        if (atomic_load(&table->places[other].pid) == pid)
            velo_running_failed(other);
    velo_running_log(place)->root = (uint32_t)pid;
    atomic_fetch_add(&table->count, 1);
    atomic_store(&table->places[place].pid, pid);
}

static bool was_captured(const struct running *one)
{
    if (one->pipes[0] == 0 || one->pipes[1] == 0 || atomic_load(&one->missed) != 0)
        return false;
    const uint32_t ended = atomic_load(&one->ended);
    return ended == 3 || (one->pipes[0] == one->pipes[1] && ended != 0);
}

/* Renamed when it is whole: the sealer takes only such. */
static void hand_over(const struct running *one)
{
    char path[VELO_UNIT_MAX];
    strcpy(path, one->path);
    path[strlen(path) - 1] = 'f';
    raw_rename(AT_FDCWD, one->path, AT_FDCWD, path, 0);
}

static void complete(const struct running *one, struct velo_log *log, int status)
{
    log->status = status;
    log->ended_at_ns = velo_os_monotonic_ns();
    log->captured = was_captured(one);
    if (status == 0 && atomic_load(&log->taint) == 0)
        velo_freeze(log);
    log->ended_ns = velo_stamp(velo_here(), 0);
    log->state = 2;
    hand_over(one);
}

void velo_step_ended_now(pid_t pid, int status)
{
    if (WIFSTOPPED(status) || WIFCONTINUED(status))
        return;
    for (int place = 0; place < high(); place++) {
        struct running *one = &table->places[place];
        if (atomic_load_explicit(&one->pid, memory_order_relaxed) != pid)
            continue;
        velo_facts_doubt(); /* before the next lookup may think that nothing runs */
        if (!end(one, pid))
            continue;
        struct velo_log *log = velo_running_log(place);
        if (log != NULL)
            complete(one, log, status);
        else
            raw_unlink(AT_FDCWD, one->path, 0);
        give(place);
        return;
    }
}

/* ---- what it says ---------------------------------------------------------------------------- */

/* Writes down what came on the pipe `inode`, if that is one of this step's. */
static bool heard(int place, uint64_t inode, const void *bytes, ssize_t count)
{
    struct running *one = &table->places[place];
    const unsigned which = (one->pipes[0] == inode ? 1u : 0u) | (one->pipes[1] == inode ? 2u : 0u);
    if (which == 0)
        return false;
    struct velo_log *log = count == 0 ? NULL : velo_running_log(place);
    if (count == 0)
        atomic_fetch_or(&one->ended, which);
    else if (log == NULL)
        atomic_store(&one->missed, 1);
    else
        velo_log_append(log, VELO_RECORD_TEXT, which == 2 ? 2 : 1, bytes, (size_t)count, NULL, 0);
    return true;
}

void velo_step_said_now(int fd, const void *bytes, ssize_t count)
{
    struct stat stat;
    if (raw_fstat(fd, &stat) != 0 || !S_ISFIFO(stat.st_mode))
        return;
    for (int place = 0; place < high(); place++) {
        struct running *one = &table->places[place];
        if (atomic_load_explicit(&one->pid, memory_order_relaxed) <= 0)
            continue;
        atomic_fetch_add(&one->inside, 1);
        const bool found = atomic_load(&one->pid) > 0 && heard(place, stat.st_ino, bytes, count);
        atomic_fetch_sub(&one->inside, 1);
        if (found)
            return;
    }
}
