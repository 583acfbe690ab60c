/* unit.h - the unit that this process belongs to, and what it writes down of itself.
 *
 * In    what a call was asked and what it answered, after it was made
 * Out   records in the unit's log (log.h); nothing when there is no unit
 * Never a descriptor that stays, a lock, an allocation: calls come from signal handlers and vfork children. */
#ifndef VELO_PRELOAD_REPLAY_UNIT_H
#define VELO_PRELOAD_REPLAY_UNIT_H

#include "log.h"

enum velo_replay_mode {
    VELO_REPLAY_OFF = 0,
    VELO_REPLAY_RECORD,
    VELO_REPLAY_ON,
    VELO_REPLAY_VERIFY
};

extern struct velo_log *velo_unit; /* NULL: none */
/* As $VELO_REPLAY says. */
enum velo_replay_mode velo_replay_mode(void);

#define VELO_UNIT_MAX 320
/* "VELO_UNIT=<name of the log>" for the programs that this process starts; "" without a unit. */
extern char velo_unit_assignment[VELO_UNIT_MAX];

void velo_taint_now(enum velo_taint reason);
static inline void velo_taint(enum velo_taint reason)
{
    if (__builtin_expect(velo_unit != NULL, 0))
        velo_taint_now(reason);
}

/* The same of what some programs may ask, with the address of the code that asked. */
void velo_asked_now(enum velo_taint reason, const void *by);
static inline void velo_asked(enum velo_taint reason, const void *by)
{
    if (__builtin_expect(velo_unit != NULL, 0))
        velo_asked_now(reason, by);
}

/* A record of a text, once; only in a unit. */
void velo_saw_text(enum velo_record_kind kind, const char *text);

/* A call that names a file answered `rc`, a value or -errno, which is returned. */
void velo_saw_now(enum velo_record_kind kind, unsigned flags, int dirfd, const char *path, long rc);
static inline long velo_saw(enum velo_record_kind kind, int dirfd, const char *path, long rc)
{
    if (__builtin_expect(velo_unit != NULL, 0))
        velo_saw_now(kind, 0, dirfd, path, rc);
    return rc;
}
/* The same of a call that says it by errno and -1. */
static inline long velo_saw_errno(enum velo_record_kind kind, int dirfd, const char *path, long rc)
{
    if (__builtin_expect(velo_unit != NULL, 0))
        velo_saw_now(kind, 0, dirfd, path, rc < 0 ? -errno : rc);
    return rc;
}
/* open with `flags`; rc a descriptor or -errno. */
void velo_saw_open_now(int dirfd, const char *path, int flags, long rc);
static inline void velo_saw_open(int dirfd, const char *path, int flags, long rc)
{
    if (__builtin_expect(velo_unit != NULL, 0))
        velo_saw_open_now(dirfd, path, flags, rc);
}
/* The directory at `path`, from `dirfd`, is open as `fd`: paths below it are the kernel's from here on, and the kernel
 * has followed the symlinks on the way there. */
void velo_saw_directory_now(int dirfd, const char *path, int fd);
static inline void velo_saw_directory(int dirfd, const char *path, int fd)
{
    if (__builtin_expect(velo_unit != NULL, 0) && fd >= 0)
        velo_saw_directory_now(dirfd, path, fd);
}
/* chdir to `path` answered `rc`; `before` is what velo_absolute_text said of it before, and its length. */
void velo_saw_entered(const char *path, const char *before, long length, long rc);
/* Two paths: RENAME, LINK and REAL (of which the second is as it is). */
void velo_saw_two(enum velo_record_kind kind, int dirfd, const char *path, int to_dirfd,
                  const char *to);
/* A file that is open was asked for its attributes, with times among them. */
void velo_saw_fstat_now(void);
static inline void velo_saw_fstat(void)
{
    if (__builtin_expect(velo_unit != NULL, 0))
        velo_saw_fstat_now();
}

/* A program is about to run, or did not after all. */
static inline void velo_unit_starts(void)
{
    if (velo_unit != NULL)
        atomic_fetch_add(&velo_unit->started, 1);
}
static inline void velo_unit_failed(void)
{
    if (velo_unit != NULL)
        atomic_fetch_add(&velo_unit->failed, 1);
}

/* From here on this process belongs to no unit: it is a build tool. */
void velo_unit_leave(void);
/* The process cannot write any log from here on, and starts no unit. Only while it has one thread. */
void velo_unit_unmap(void);

#endif
