/* clock.c - what differs from one moment, or one machine, to the next: a step that asks for it is not replayed, unless
 * its programs are known to make nothing of it (shards/replay/programs.py). */
#include <signal.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/shm.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "preload/replay/unit.h"

EXPORT time_t time(time_t *out)
{
    velo_taint(VELO_TAINT_CLOCK);
    return NEXT(time)(out);
}

EXPORT int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    velo_taint(VELO_TAINT_CLOCK);
    return NEXT(gettimeofday)(now, zone);
}
ALIAS(__gettimeofday, gettimeofday);

/* The clocks of intervals tell nobody what time it is. */
EXPORT int clock_gettime(clockid_t clock, struct timespec *now)
{
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI)
        velo_taint(VELO_TAINT_CLOCK);
    return NEXT(clock_gettime)(clock, now);
}

EXPORT struct tm *localtime(const time_t *moment)
{
    velo_taint(VELO_TAINT_CALENDAR);
    return NEXT(localtime)(moment);
}

EXPORT struct tm *localtime_r(const time_t *restrict moment, struct tm *restrict out)
{
    velo_taint(VELO_TAINT_CALENDAR);
    return NEXT(localtime_r)(moment, out);
}

EXPORT struct tm *gmtime(const time_t *moment)
{
    velo_taint(VELO_TAINT_CALENDAR);
    return NEXT(gmtime)(moment);
}

EXPORT struct tm *gmtime_r(const time_t *restrict moment, struct tm *restrict out)
{
    velo_taint(VELO_TAINT_CALENDAR);
    return NEXT(gmtime_r)(moment, out);
}
ALIAS(__gmtime_r, gmtime_r);

EXPORT char *ctime(const time_t *moment)
{
    velo_taint(VELO_TAINT_CALENDAR);
    return NEXT(ctime)(moment);
}

EXPORT ssize_t getrandom(void *bytes, size_t count, unsigned flags)
{
    velo_taint(VELO_TAINT_RANDOM);
    return NEXT(getrandom)(bytes, count, flags);
}

EXPORT int getentropy(void *bytes, size_t count)
{
    velo_taint(VELO_TAINT_RANDOM);
    return NEXT(getentropy)(bytes, count);
}

/* ---- what is done without files -------------------------------------------------------------- */

EXPORT int kill(pid_t pid, int signal)
{
    if (signal != 0)
        velo_taint(VELO_TAINT_SENT_SIGNAL);
    return NEXT(kill)(pid, signal);
}

EXPORT int shm_open(const char *name, int flags, mode_t mode)
{
    velo_taint(VELO_TAINT_SHARED_MEMORY);
    return NEXT(shm_open)(name, flags, mode);
}

EXPORT int shmget(key_t key, size_t size, int flags)
{
    velo_taint(VELO_TAINT_SHARED_MEMORY);
    return NEXT(shmget)(key, size, flags);
}

/* ---- what the machine is --------------------------------------------------------------------- */

EXPORT int uname(struct utsname *out)
{
    velo_taint(VELO_TAINT_MACHINE);
    return NEXT(uname)(out);
}

EXPORT int gethostname(char *out, size_t size)
{
    velo_taint(VELO_TAINT_MACHINE);
    return NEXT(gethostname)(out, size);
}

int __gethostname_chk(char *out, size_t size, size_t room);

EXPORT int __gethostname_chk(char *out, size_t size, size_t room)
{
    velo_taint(VELO_TAINT_MACHINE);
    return NEXT(__gethostname_chk)(out, size, room);
}
