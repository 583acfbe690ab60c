/* spawn.c - posix_spawn, and the shells that libc starts: system and popen.
 *
 * Inside libc their children exec and open by hidden calls, so all is prepared here, before: the
 * program, and the files that the list of actions opens. A hosted file is opened by us, at the
 * moment the program spawns, and the list that libc gets duplicates that descriptor instead. */
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "preload/program/environment.h"
#include "preload/write/share.h"
#include "preload/program/opaque.h"
#include "preload/base/raw.h"
#include "preload/replay/inherit.h"
#include "preload/replay/step.h"
#include "preload/replay/tools.h"
#include "actions.h"
#include "open.h"
#include "stub.h"

typedef int (*spawner)(pid_t *, const char *, const posix_spawn_file_actions_t *,
                       const posix_spawnattr_t *, char *const[], char *const[]);

/* ---- the list of actions --------------------------------------------------------------------- */

/* A descriptor that is held for an action until the child has it. */
struct held {
    int fd; /* -1: nothing */
    char path[VELO_FD_PATH_MAX];
};

#define ELSEWHERE (-1) /* in a directory outside that it opens itself */

struct preparation {
    int directory; /* where the child stands after the actions so far, AT_FDCWD, or ELSEWHERE */
    int own_directory; /* the same if we opened it, else -1 */
    int beyond; /* a number above all that the list mentions */
    bool closed_all; /* a CLOSEFROM came before: what we hold is closed in the child */
};

static void stand_in(struct preparation *with, int directory, int own)
{
    if (with->own_directory >= 0)
        raw_close(with->own_directory);
    with->directory = directory;
    with->own_directory = own;
}

static int beyond(const struct __spawn_action *actions, int count)
{
    int most = 2;
    for (int i = 0; i < count; i++) {
        const struct __spawn_action *each = &actions[i];
        int fd = each->tag == ACTION_CHDIR ? 0 : each->fd; /* first in all others */
        if (each->tag == ACTION_DUP2 && each->dup2.to > fd)
            fd = each->dup2.to;
        most = fd > most ? fd : most;
    }
    return most + 1;
}

static void saw_open_of_child(int directory, const char *path, int flags, int told)
{
    struct stat stat;
    const long rc = told != flags || velo_unit == NULL ? 0 : raw_statat(directory, path, &stat, 0);
    velo_saw_open(directory, path, told, rc);
}

/* A hosted file is opened now; the child only takes the descriptor over. When the list has closed
 * all before, it opens what we hold by our number. 0 or -errno, as the child would have met it. */
static int prepare_open(const struct preparation *with, struct __spawn_action *action,
                        struct held *held)
{
    struct velo_place place;
    const int flags = action->open.flags, fd = action->open.fd;
    const int claimed =
        velo_claim(with->directory, action->open.path, velo_open_walk_flags(flags), &place);
    const int told = velo_flags_as_seen(with->directory, action->open.path, flags,
                                        claimed == VELO_OURS ? &place : NULL);
    if (claimed == VELO_NOT_OURS) /* the child opens it, where velo does not see */
        saw_open_of_child(with->directory, action->open.path, flags, told);
    if (claimed <= 0)
        return claimed;
    place.asked.unmovable = 1;
    const int opened = velo_open_hosted(&place, flags | O_CLOEXEC, action->open.mode);
    velo_saw_open(with->directory, action->open.path, told, opened);
    if (opened < 0)
        return opened;
    held->fd = (int)velo_sys3(SYS_fcntl, opened, F_DUPFD_CLOEXEC, with->beyond);
    raw_close(opened);
    velo_write_credit_set(opened, 0);
    if (held->fd < 0)
        return held->fd;
    velo_write_credit_open(held->fd, flags); /* it will be shared */
    if (with->closed_all) {
        velo_path_of_fd((pid_t)velo_sys0(SYS_getpid), held->fd, held->path);
        action->open.path = held->path;
        action->open.flags = flags & ~(O_CREAT | O_EXCL | O_TRUNC | O_NOFOLLOW);
    } else {
        action->tag = ACTION_DUP2;
        action->dup2.from = held->fd;
        action->dup2.to = fd;
    }
    return 0;
}

/* The child's descriptor as ours: what an action before `at` opened or duplicated is another number
 * here. */
static int number_here(const struct __spawn_action *actions, const struct held *held, int at,
                       int fd)
{
    while (at-- > 0) {
        if (actions[at].tag == ACTION_OPEN && actions[at].open.fd == fd)
            return held[at].fd;
        if (actions[at].tag == ACTION_DUP2 && actions[at].dup2.to == fd) {
            if (held[at].fd >= 0)
                return held[at].fd;
            fd = actions[at].dup2.from;
        }
    }
    return fd;
}

/* The disk has no file that is in memory alone. */
static int not_entered(int base, const char *path, int rc)
{
    struct velo_place place;
    const int claimed = rc == -ENOENT ? velo_claim(base, path, 0, &place) : 0;
    if (claimed == VELO_OURS && place.at.type == VELO_REGULAR)
        return -ENOTDIR;
    return claimed < 0 ? claimed : rc;
}

static int prepare_one(struct preparation *with, struct __spawn_action *actions, struct held *held,
                       int at)
{
    struct __spawn_action *action = &actions[at];
    if (action->tag == ACTION_OPEN)
        return prepare_open(with, action, &held[at]);
    if (action->tag == ACTION_CHDIR && (with->directory != ELSEWHERE || action->path[0] == '/')) {
        const int directory =
            (int)raw_openat(with->directory, action->path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
        velo_saw(VELO_RECORD_ACCESS, with->directory, action->path, directory);
        velo_saw_directory(with->directory, action->path, directory);
        if (directory < 0)
            return not_entered(with->directory, action->path, directory);
        stand_in(with, directory, directory);
    } else if (action->tag == ACTION_FCHDIR) {
        stand_in(with, number_here(actions, held, at, action->fd), -1);
    } else if (action->tag == ACTION_CLOSEFROM) {
        with->closed_all = true;
    }
    return 0;
}

/* ---- spawning -------------------------------------------------------------------------------- */

struct order { /* what the program asked for */
    spawner next;
    pid_t *pid;
    const char *file; /* to pass on */
    const char *path; /* where it is; NULL: along $PATH, as the child finds it */
    const posix_spawnattr_t *attributes;
    char *const *argv, *const *envp;
    bool wants_descriptor; /* of the child, in place of its number */
};

pid_t pidfd_getpid(int pidfd); /* glibc 2.39, as what gives such descriptors */

/* An opaque program's tree is put before it starts; it is watched as soon as it has a number. */
static int start_program(const struct order *order, int directory,
                         const posix_spawn_file_actions_t *list, char *const *envp, pid_t *started)
{
    char first[VELO_SANITIZER_MAX];
    velo_before_child();
    const int opaque = velo_before_program(directory, order->path, envp, first);
    if (opaque < 0)
        return -opaque;
    VELO_ENVIRONMENT(environment, envp, !opaque, first);
    if (opaque)
        velo_run_opaque(order->path);
    velo_unit_starts();
    int rc = order->next(started, order->file, list, order->attributes, order->argv, environment);
    rc = (int)-velo_program_error(directory, order->path, -rc);
    if (rc != 0)
        velo_unit_failed();
    if (opaque)
        velo_opaque_child(rc != 0                   ? 0
                          : order->wants_descriptor ? NEXT(pidfd_getpid)(*started)
                                                    : *started,
                          order->path);
    return rc;
}

/* A build step: its outputs are there already, or what it does is written down. */
static int start_step(const struct order *order, int directory,
                      const posix_spawn_file_actions_t *list, pid_t *started)
{
    struct velo_step step = {.program = order->path, .argv = order->argv, .envp = order->envp};
    struct velo_begun begun = {.decision = VELO_STEP_PLAIN};
    const int saved = errno;
    if (!order->wants_descriptor)
        velo_stub_decide(list, &step, &begun);
    errno = saved;
    if (begun.decision == VELO_STEP_ANSWERED) {
        *started = velo_stub(&begun, order->attributes, list);
        if (*started > 0) {
            velo_step_answered(&begun);
            return 0;
        }
        velo_step_runs(&begun); /* an action fails, or there can be no more processes */
    }
    VELO_UNIT_ENVIRONMENT(envp, order->envp, begun.assignment);
    const int rc = start_program(order, directory, list, envp, started);
    velo_step_started(&begun, rc == 0 ? *started : 0);
    return rc;
}

static int start(const struct order *asked, int directory, const posix_spawn_file_actions_t *list)
{
    char found[PATH_MAX];
    struct order order = *asked;
    pid_t started = 0;
    int rc;
    const int saved = errno;
    if (order.path == NULL)
        order.path =
            strchr(order.file, '/') == NULL && velo_find_program(directory, order.file, found)
                ? found
                : order.file;
    errno = saved;
    if (velo_starts_units()) {
        rc = start_step(&order, directory, list, &started);
    } else {
        VELO_UNIT_ENVIRONMENT(envp, order.envp, velo_unit_assignment);
        rc = start_program(&order, directory, list, envp, &started);
    }
    if (rc == 0 && order.pid != NULL)
        *order.pid = started;
    return rc;
}

static int spawn(const struct order *order, const posix_spawn_file_actions_t *list)
{
    const int count = list == NULL ? 0 : list->__used;
    if (count == 0)
        return start(order, AT_FDCWD, list);
    struct __spawn_action *actions = __builtin_alloca((size_t)count * sizeof *actions);
    struct held *held = __builtin_alloca((size_t)count * sizeof *held);
    memcpy(actions, list->__actions, (size_t)count * sizeof *actions);
    struct preparation with = {AT_FDCWD, -1, beyond(actions, count), false};
    int rc = 0, prepared = 0;
    for (; prepared < count && rc == 0; prepared++) {
        held[prepared].fd = -1;
        rc = prepare_one(&with, actions, held, prepared);
    }
    posix_spawn_file_actions_t ours = *list;
    ours.__actions = actions;
    rc = rc < 0 ? -rc : start(order, with.directory, &ours);
    while (prepared-- > 0)
        if (held[prepared].fd >= 0)
            raw_close(held[prepared].fd);
    stand_in(&with, AT_FDCWD, -1);
    return rc;
}

EXPORT int posix_spawn(pid_t *restrict pid, const char *restrict path,
                       const posix_spawn_file_actions_t *restrict actions,
                       const posix_spawnattr_t *restrict attributes, char *const argv[restrict],
                       char *const envp[restrict])
{
    if (velo_here() == NULL && !velo_has_left())
        return NEXT(posix_spawn)(pid, path, actions, attributes, argv, envp);
    const struct order order = {NEXT(posix_spawn), pid, path, path, attributes, argv, envp, false};
    return spawn(&order, actions);
}

EXPORT int posix_spawnp(pid_t *restrict pid, const char *restrict file,
                        const posix_spawn_file_actions_t *restrict actions,
                        const posix_spawnattr_t *restrict attributes, char *const argv[restrict],
                        char *const envp[restrict])
{
    if (velo_here() == NULL && !velo_has_left())
        return NEXT(posix_spawnp)(pid, file, actions, attributes, argv, envp);
    const struct order order = {NEXT(posix_spawnp), pid, file, NULL, attributes, argv, envp, false};
    return spawn(&order, actions);
}

/* The same with a descriptor of the child instead of its number (glibc 2.39). */
int pidfd_spawn(int *pidfd, const char *path, const posix_spawn_file_actions_t *actions,
                const posix_spawnattr_t *attributes, char *const argv[], char *const envp[]);
int pidfd_spawnp(int *pidfd, const char *file, const posix_spawn_file_actions_t *actions,
                 const posix_spawnattr_t *attributes, char *const argv[], char *const envp[]);

EXPORT int pidfd_spawn(int *pidfd, const char *path, const posix_spawn_file_actions_t *actions,
                       const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
    if (NEXT(pidfd_spawn) == NULL)
        return ENOSYS; /* this libc has none, and found us */
    if (velo_here() == NULL && !velo_has_left())
        return NEXT(pidfd_spawn)(pidfd, path, actions, attributes, argv, envp);
    const struct order order = {NEXT(pidfd_spawn), pidfd, path, path, attributes, argv, envp, true};
    return spawn(&order, actions);
}

EXPORT int pidfd_spawnp(int *pidfd, const char *file, const posix_spawn_file_actions_t *actions,
                        const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
    if (NEXT(pidfd_spawnp) == NULL)
        return ENOSYS; /* this libc has none, and found us */
    if (velo_here() == NULL && !velo_has_left())
        return NEXT(pidfd_spawnp)(pidfd, file, actions, attributes, argv, envp);
    const struct order order = {NEXT(pidfd_spawnp), pidfd, file, NULL,
                                attributes,         argv,  envp, true};
    return spawn(&order, actions);
}

/* ---- shells ---------------------------------------------------------------------------------- */

/* system and popen take the process's own environment. When a program dropped us from it, it is
 * swapped for the time of the call; only such programs could see that from another thread. */
EXPORT int system(const char *command)
{
    static const char shell[] = "/bin/sh";
    char **const own = environ;
    char first[VELO_SANITIZER_MAX];
    const int saved = errno;
    const bool opaque = command != NULL && velo_before_program(AT_FDCWD, shell, own, first) > 0;
    if (opaque)
        velo_run_opaque(shell);
    errno = saved;
    VELO_UNIT_ENVIRONMENT(inside, own, velo_unit_assignment);
    VELO_ENVIRONMENT(whole, inside, !opaque, "");
    if (command != NULL)
        velo_unit_starts();
    if (whole != own)
        environ = (char **)(uintptr_t)whole;
    const int status = NEXT(system)(command);
    if (environ == whole)
        environ = own;
    if (opaque)
        velo_opaque_child(0, shell);
    return status;
}

EXPORT FILE *popen(const char *command, const char *mode)
{
    char **const own = environ;
    VELO_UNIT_ENVIRONMENT(inside, own, velo_unit_assignment);
    VELO_ENVIRONMENT(whole, inside, true, "");
    velo_unit_starts();
    if (whole == own)
        return NEXT(popen)(command, mode);
    environ = (char **)(uintptr_t)whole;
    FILE *stream = NEXT(popen)(command, mode);
    if (environ == whole)
        environ = own;
    return stream;
}
ALIAS(_IO_popen, popen);
