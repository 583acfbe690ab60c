/* wrap_spawn.c - posix_spawn, and the shells that libc starts: system and popen.
 *
 * Inside libc their children exec by a hidden call, so the program is prepared here, before. */
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "environment.h"
#include "opaque.h"

typedef int (*spawner)(pid_t *, const char *, const posix_spawn_file_actions_t *,
                       const posix_spawnattr_t *, char *const[], char *const[]);

/* `file` is what to pass on, `path` where it is. An opaque program's tree is put before it starts,
 * and it is watched as soon as it has a number. */
static int spawn(spawner next, pid_t *pid, const char *file, const char *path,
                 const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes,
                 char *const argv[], char *const envp[])
{
    pid_t started = 0;
    const bool opaque = velo_before_program(AT_FDCWD, path, envp);
    VELO_ENVIRONMENT(environment, envp, !opaque);
    if (opaque)
        velo_run_opaque(0, path);
    const int rc = next(&started, file, actions, attributes, argv, environment);
    if (rc == 0 && opaque)
        velo_run_opaque(started, path);
    if (rc == 0 && pid != NULL)
        *pid = started;
    return rc;
}

EXPORT int posix_spawn(pid_t *restrict pid, const char *restrict path,
                       const posix_spawn_file_actions_t *restrict actions,
                       const posix_spawnattr_t *restrict attributes, char *const argv[restrict],
                       char *const envp[restrict])
{
    if (velo_here() == NULL)
        return NEXT(posix_spawn)(pid, path, actions, attributes, argv, envp);
    return spawn(NEXT(posix_spawn), pid, path, path, actions, attributes, argv, envp);
}

EXPORT int posix_spawnp(pid_t *restrict pid, const char *restrict file,
                        const posix_spawn_file_actions_t *restrict actions,
                        const posix_spawnattr_t *restrict attributes, char *const argv[restrict],
                        char *const envp[restrict])
{
    if (velo_here() == NULL)
        return NEXT(posix_spawnp)(pid, file, actions, attributes, argv, envp);
    char found[PATH_MAX];
    const int saved = errno;
    const char *path = file;
    if (strchr(file, '/') == NULL && velo_find_program(file, found))
        path = found;
    errno = saved;
    return spawn(NEXT(posix_spawnp), pid, file, path, actions, attributes, argv, envp);
}

/* ---- shells ---------------------------------------------------------------------------------- */

/* system and popen take the process's own environment. When a program dropped us from it, it is
 * swapped for the time of the call; only such programs could see that from another thread. */
EXPORT int system(const char *command)
{
    char **const own = environ;
    VELO_ENVIRONMENT(whole, own, true);
    if (whole == own)
        return NEXT(system)(command);
    environ = (char **)(uintptr_t)whole;
    const int status = NEXT(system)(command);
    if (environ == whole)
        environ = own;
    return status;
}

EXPORT FILE *popen(const char *command, const char *mode)
{
    char **const own = environ;
    VELO_ENVIRONMENT(whole, own, true);
    if (whole == own)
        return NEXT(popen)(command, mode);
    environ = (char **)(uintptr_t)whole;
    FILE *stream = NEXT(popen)(command, mode);
    if (environ == whole)
        environ = own;
    return stream;
}
