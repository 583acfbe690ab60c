/* exec.c - the exec family: what runs next is prepared, and finds us in its environment.
 *
 * All of it may run in a vfork child: on the parent's memory, with nothing allocated and nothing
 * remembered. libc's own execvp would call a hidden execve, so the search is done here. */
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "preload/path/claim.h"
#include "preload/sud/sud.h"
#include "preload/program/environment.h"
#include "preload/program/opaque.h"
#include "preload/write/share.h"
#include "preload/base/raw.h"
#include "preload/replay/inherit.h"
#include "preload/replay/printed.h"
#include "preload/replay/tools.h"
#include "stub.h"

#define PLAIN_EXECVE (-1)

/* Run what `dirfd`, `path` and `flags` say, which is the program at `identified_dirfd` and
 * `identified`; only failure returns, as -errno. */
static long run_as(int identified_dirfd, const char *identified, int dirfd, const char *path,
                   char *const argv[], char *const envp[], int flags)
{
    char first[VELO_SANITIZER_MAX];
    velo_before_exec();
    const int opaque = velo_before_program(identified_dirfd, identified, envp, first);
    if (opaque < 0)
        return opaque;
    struct velo_begun begun; /* large, and most that exec are no steps */
    begun.decision = VELO_STEP_PLAIN;
    const bool is_step = flags == PLAIN_EXECVE && velo_is_child_of_starter() &&
                         raw_access(AT_FDCWD, path, X_OK) == 0; /* along $PATH most are not */
    if (is_step)
        velo_stub_here(path, argv, envp, &begun);
    VELO_UNIT_ENVIRONMENT(inside, envp, is_step ? begun.assignment : velo_unit_assignment);
    VELO_ENVIRONMENT(environment, inside, !opaque, first);
    if (opaque)
        velo_run_opaque(identified);
    velo_unit_starts();
    velo_unit_vouch(1);
    velo_sud_before_exec();
    long rc = flags == PLAIN_EXECVE ? raw_execve(path, argv, environment)
                                    : raw_execveat(dirfd, path, argv, environment, flags);
    rc = velo_program_error(identified_dirfd, identified, rc);
    velo_sud_after_exec();
    velo_unit_failed();
    velo_unit_vouch(-1);
    if (begun.decision == VELO_STEP_RECORDED)
        velo_step_started(&begun, 0);
    velo_saw(VELO_RECORD_READ, identified_dirfd, identified, rc);
    return rc;
}

static long run(int dirfd, const char *path, char *const argv[], char *const envp[], int flags)
{
    return run_as(dirfd, path, dirfd, path, argv, envp, flags);
}

static int execute(const char *path, char *const argv[], char *const envp[])
{
    return (int)velo_answer(run(AT_FDCWD, path, argv, envp, PLAIN_EXECVE));
}

EXPORT int execve(const char *path, char *const argv[], char *const envp[])
{
    return execute(path, argv, envp);
}

EXPORT int execv(const char *path, char *const argv[])
{
    return execute(path, argv, environ);
}

/* ---- by descriptor --------------------------------------------------------------------------- */

/* Run what `fd` has open, by number: the program at `path`. */
static long run_number(int fd, const char *path, char *const argv[], char *const envp[], int flags)
{
    return run_as(AT_FDCWD, path, fd, "", argv, envp, flags | AT_EMPTY_PATH);
}

static bool is_script(const char *path)
{
    char head[2] = "";
    const int fd = (int)raw_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
    if (fd < 0)
        return false;
    velo_sys4(SYS_pread64, fd, velo_word(head), sizeof head, 0);
    raw_close(fd);
    return memcmp(head, "#!", 2) == 0;
}

/* A hosted script's interpreter is told "/dev/fd/N" and opens that, so N becomes the disk's copy for
 * the time of the call. */
static long run_script(int fd, const char *path, char *const argv[], char *const envp[], int flags)
{
    const long close_on_exec = velo_sys3(SYS_fcntl, fd, F_GETFD, 0) & FD_CLOEXEC;
    const int again = close_on_exec != 0 ? O_CLOEXEC : 0;
    const int saved = (int)velo_sys3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 3);
    const int disk = (int)raw_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (saved >= 0 && disk >= 0)
        velo_sys3(SYS_dup3, disk, fd, again);
    raw_close(disk);
    const long rc = run_number(fd, path, argv, envp, flags);
    velo_sys3(SYS_dup3, saved, fd, again);
    raw_close(saved);
    return rc;
}

/* A hosted program is run at its real path, so that /proc/self/exe and $ORIGIN are what they would
 * be; another one by its descriptor. */
static long run_descriptor(int fd, char *const argv[], char *const envp[], int flags)
{
    struct velo_region *region = velo_has_left() ? NULL : velo_here();
    const velo_node_id node = region == NULL ? VELO_NO_NODE : velo_node_of_fd(region, fd);
    struct velo_place place;
    if (!velo_is_node(node) || velo_place_of_node(region, node, &place) != 0 ||
        place.at.type != VELO_REGULAR) {
        velo_path_of_fd(VELO_SELF, fd, place.text.path);
        return run_number(fd, place.text.path, argv, envp, flags);
    }
    velo_writeback(region, node, 0);
    if (is_script(place.text.path))
        return run_script(fd, place.text.path, argv, envp, flags);
    return run(AT_FDCWD, place.text.path, argv, envp, PLAIN_EXECVE);
}

EXPORT int fexecve(int fd, char *const argv[], char *const envp[])
{
    if (fd < 0 || velo_as_given(argv) == NULL || velo_as_given(envp) == NULL)
        return (int)velo_answer(-EINVAL);
    return (int)velo_answer(run_descriptor(fd, argv, envp, 0));
}

EXPORT int execveat(int dirfd, const char *path, char *const argv[], char *const envp[], int flags)
{
    if (dirfd >= 0 && velo_is_empty(path) && (flags & AT_EMPTY_PATH) != 0)
        return (int)velo_answer(run_descriptor(dirfd, argv, envp, flags));
    return (int)velo_answer(run(dirfd, path, argv, envp, flags));
}

/* ---- along $PATH ----------------------------------------------------------------------------- */

static size_t count_of(char *const argv[])
{
    size_t count = 0;
    while (argv[count] != NULL)
        count++;
    return count;
}

/* As libc: a file without a format that the kernel knows is given to the shell. */
static long run_or_shell(const char *path, char *const argv[], char *const envp[])
{
    const long rc = run(AT_FDCWD, path, argv, envp, PLAIN_EXECVE);
    if (rc != -ENOEXEC)
        return rc;
    const size_t count = count_of(argv);
    const char **shell = __builtin_alloca((count + 3) * sizeof *shell);
    size_t used = 0;
    shell[used++] = "/bin/sh";
    shell[used++] = path;
    for (size_t i = 1; i < count; i++)
        shell[used++] = argv[i];
    shell[used] = NULL;
    return run(AT_FDCWD, shell[0], (char *const *)(uintptr_t)shell, envp, PLAIN_EXECVE);
}

/* Errors that mean "not here", so that the search goes on. */
static bool is_elsewhere(long rc)
{
    return rc == -ENOENT || rc == -EACCES || rc == -ENOTDIR || rc == -ESTALE || rc == -ENODEV ||
           rc == -ETIMEDOUT;
}

static long search_and_run(const char *file, char *const argv[], char *const envp[])
{
    if (file[0] == 0)
        return -ENOENT;
    if (strchr(file, '/') != NULL)
        return run_or_shell(file, argv, envp);
    const size_t name = strlen(file);
    if (name > NAME_MAX)
        return -ENAMETOOLONG;
    const char *list = velo_environment_get(environ, "PATH");
    if (list == NULL)
        list = "/bin:/usr/bin";
    char candidate[PATH_MAX];
    bool denied = false;
    for (;; list++) {
        const size_t length = strcspn(list, ":");
        if (length + 1 + name < PATH_MAX) {
            memcpy(candidate, list, length);
            candidate[length] = '/';
            memcpy(candidate + length + (length > 0), file, name + 1);
            const long rc = run_or_shell(candidate, argv, envp);
            if (!is_elsewhere(rc))
                return rc;
            denied |= rc == -EACCES;
        }
        list += length;
        if (*list == 0)
            return denied ? -EACCES : -ENOENT;
    }
}

EXPORT int execvpe(const char *file, char *const argv[], char *const envp[])
{
    return (int)velo_answer(search_and_run(file, argv, envp));
}

EXPORT int execvp(const char *file, char *const argv[])
{
    return execvpe(file, argv, environ);
}

/* ---- arguments one by one -------------------------------------------------------------------- */

/* Declares `argv`, of the arguments from `first` to the NULL; `after` sees the list behind it. */
#define GATHER(first, after)                                                                       \
    va_list list_;                                                                                 \
    size_t count_ = 1;                                                                             \
    va_start(list_, first);                                                                        \
    if ((first) != NULL)                                                                           \
        while (va_arg(list_, const char *) != NULL)                                                \
            count_++;                                                                              \
    va_end(list_);                                                                                 \
    char **argv = __builtin_alloca((count_ + 1) * sizeof *argv);                                   \
    argv[0] = (char *)(uintptr_t)(first);                                                          \
    va_start(list_, first);                                                                        \
    for (size_t i_ = 1; argv[i_ - 1] != NULL; i_++)                                                \
        argv[i_] = va_arg(list_, char *);                                                          \
    after;                                                                                         \
    va_end(list_)

EXPORT int execl(const char *path, const char *first, ...)
{
    GATHER(first, (void)0);
    return execv(path, argv);
}

EXPORT int execlp(const char *file, const char *first, ...)
{
    GATHER(first, (void)0);
    return execvp(file, argv);
}

EXPORT int execle(const char *path, const char *first, ...)
{
    char *const *envp;
    GATHER(first, envp = va_arg(list_, char *const *));
    return execve(path, argv, envp);
}
