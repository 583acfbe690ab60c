/* locks.c - locks, leases, memory maps, events. */
#include "oracle.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <unistd.h>

static void op_flock(struct context *c, char **a)
{
    say_result(c, flock(fd_of(c, a[0]), (int)number(a[1]) | LOCK_NB));
}

/* lock SLOT COMMAND TYPE START LENGTH */
static void op_lock(struct context *c, char **a)
{
    const int command = (int)number(a[1]);
    struct flock lock = {.l_type = (short)number(a[2]),
                         .l_whence = SEEK_SET,
                         .l_start = number(a[3]),
                         .l_len = number(a[4])};
    const int rc = fcntl(fd_of(c, a[0]), command, &lock);
    say_result(c, rc);
    if (rc == 0 && (command == F_GETLK || command == F_OFD_GETLK))
        say(c, " %d %ld %ld %s", lock.l_type, (long)lock.l_start, (long)lock.l_len,
            lock.l_pid == -1          ? "ofd"
            : lock.l_type == F_UNLCK  ? "nobody"
            : lock.l_pid == getppid() ? "parent"
                                      : "other");
}

static void op_lockf(struct context *c, char **a)
{
    const int command = (int)number(a[1]);
    say_result(c, lockf(fd_of(c, a[0]), command == F_LOCK ? F_TLOCK : command, number(a[2])));
}

static void op_fcntl(struct context *c, char **a)
{
    const int command = (int)number(a[1]);
    const long rc = fcntl(fd_of(c, a[0]), command, number(a[2]));
    if ((command == F_DUPFD || command == F_DUPFD_CLOEXEC) && rc >= 0) {
        say(c, " fd%ld", c->lane != NULL ? 0 : rc); /* lanes take numbers from each other */
        close((int)rc);
    } else {
        say_result(c, rc);
    }
}

/* ---- maps ------------------------------------------------------------------------------------ */

static _Thread_local sigjmp_buf fault;
static _Thread_local volatile sig_atomic_t touching;

static void on_fault(int signal)
{
    if (touching)
        siglongjmp(fault, signal);
    _exit(128 + signal);
}

static void catch_faults(void)
{
    struct sigaction action = {.sa_handler = on_fault, .sa_flags = SA_NODEFER};
    sigaction(SIGBUS, &action, NULL);
    sigaction(SIGSEGV, &action, NULL);
}

/* mmap MAP SLOT PROT FLAGS OFFSET LENGTH */
static void op_mmap(struct context *c, char **a)
{
    struct map *map = &c->maps[slot_of(a[0], OTHERS)];
    if (map->address != NULL)
        munmap(map->address, map->length);
    map->length = (size_t)number(a[5]);
    map->address =
        mmap(NULL, map->length, (int)number(a[2]), (int)number(a[3]), fd_of(c, a[1]), number(a[4]));
    if (map->address == MAP_FAILED) {
        map->address = NULL;
        say_result(c, -1);
    } else {
        say(c, " mapped");
    }
}

/* Where in a map an access may go; NULL and a word when it may not. */
static unsigned char *inside(struct context *c, char **a, size_t *length)
{
    const struct map *map = &c->maps[slot_of(a[0], OTHERS)];
    const size_t at = (size_t)number(a[1]);
    *length = (size_t)number(a[2]);
    if (map->address == NULL || at > map->length || *length > map->length - at) {
        say(c, " outside");
        return NULL;
    }
    return map->address + at;
}

static void op_mread(struct context *c, char **a)
{
    size_t length;
    const unsigned char *from = inside(c, a, &length);
    if (from == NULL)
        return;
    static _Thread_local unsigned char copy[DATA_MAX];
    catch_faults();
    const int signal = sigsetjmp(fault, 1);
    touching = signal == 0;
    if (signal == 0)
        memcpy(copy, from, length < sizeof copy ? length : sizeof copy);
    touching = 0;
    if (signal != 0)
        say(c, " signal %d", signal);
    else
        say_data(c, copy, (long)(length < sizeof copy ? length : sizeof copy));
}

static void op_mwrite(struct context *c, char **a)
{
    size_t length;
    unsigned char *to = inside(c, a, &length);
    if (to == NULL)
        return;
    catch_faults();
    const int signal = sigsetjmp(fault, 1);
    touching = signal == 0;
    if (signal == 0)
        fill(to, length, (unsigned)number(a[3]));
    touching = 0;
    say(c, " signal %d", signal);
}

static void op_msync(struct context *c, char **a)
{
    const struct map *map = &c->maps[slot_of(a[0], OTHERS)];
    if (map->address == NULL)
        say(c, " none");
    else
        say_result(c, msync(map->address, map->length, (int)number(a[1])));
}

static void op_madvise(struct context *c, char **a)
{
    const struct map *map = &c->maps[slot_of(a[0], OTHERS)];
    if (map->address == NULL)
        say(c, " none");
    else
        say_result(c, madvise(map->address, map->length, (int)number(a[1])));
}

static void op_mremap(struct context *c, char **a)
{
    struct map *map = &c->maps[slot_of(a[0], OTHERS)];
    if (map->address == NULL) {
        say(c, " none");
        return;
    }
    void *moved = mremap(map->address, map->length, (size_t)number(a[1]), MREMAP_MAYMOVE);
    if (moved == MAP_FAILED) {
        say_result(c, -1);
        return;
    }
    *map = (struct map){moved, (size_t)number(a[1])};
    say(c, " moved");
}

static void op_munmap(struct context *c, char **a)
{
    struct map *map = &c->maps[slot_of(a[0], OTHERS)];
    if (map->address == NULL) {
        say(c, " none");
        return;
    }
    say_result(c, munmap(map->address, map->length));
    map->address = NULL;
}

/* ---- events ---------------------------------------------------------------------------------- */

static void op_inotify(struct context *c, char **a)
{
    say_fd(c, a[0], inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
}

static void op_watch(struct context *c, char **a)
{
    say_result(c, inotify_add_watch(fd_of(c, a[0]), path_of(c, a[1]), (uint32_t)number(a[2])));
}

/* By mkstemp or mkdtemp from the templates of random scripts. */
static int is_made_up(const char *name)
{
    const size_t length = strlen(name);
    return name[0] == 't' && (length == 7 || (length == 9 && strcmp(name + 7, ".c") == 0));
}

static void op_events(struct context *c, char **a)
{
    _Alignas(8) char room[8192];
    struct stat st;
    if (fstat(fd_of(c, a[0]), &st) == 0 && (st.st_mode & S_IFMT) != 0) {
        say(c, " none"); /* after an exec another descriptor may have the number */
        return;
    }
    const long got = read(fd_of(c, a[0]), room, sizeof room);
    if (got < 0)
        say_result(c, got);
    for (long at = 0; at < got;) {
        const struct inotify_event *event = (const void *)(room + at);
        const char *name = event->len > 0 ? event->name : "";
        say(c, " %d:%x:%s", event->wd, event->mask, is_made_up(name) ? "tXXXXXX" : name);
        at += (long)sizeof *event + event->len;
    }
}

const struct operation_name lock_operations[] = {
    {"flock", 2, op_flock},   {"lock", 5, op_lock},     {"lockf", 3, op_lockf},
    {"fcntl", 3, op_fcntl},   {"mmap", 6, op_mmap},     {"mread", 3, op_mread},
    {"mwrite", 4, op_mwrite}, {"msync", 2, op_msync},   {"madvise", 2, op_madvise},
    {"mremap", 2, op_mremap}, {"munmap", 1, op_munmap}, {"inotify", 1, op_inotify},
    {"watch", 3, op_watch},   {"events", 1, op_events}, {NULL, 0, NULL},
};
