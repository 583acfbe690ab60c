/* clock.c - what differs from one moment, or one machine, to the next: a step that asks for it is not replayed, unless
 * its programs are known to make nothing of it (shards/replay/programs.py). */
#include <signal.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "preload/base/raw.h"
#include "preload/replay/unit.h"

#ifndef GRND_INSECURE
#define GRND_INSECURE 4 /* Linux 5.6 */
#endif

/* The function as it is, said of the unit first. */
#define ASKING(reason, type, name, parameters, ...)                                                \
    EXPORT type name parameters                                                                    \
    {                                                                                              \
        velo_asked(reason, __builtin_return_address(0));                                           \
        return NEXT(name)(__VA_ARGS__);                                                            \
    }

/* ---- what time it is ------------------------------------------------------------------------- */

ASKING(VELO_TAINT_CLOCK, time_t, time, (time_t *out), out)
ASKING(VELO_TAINT_CLOCK, int, gettimeofday, (struct timeval *restrict now, void *restrict zone),
       now, zone)
ALIAS(__gettimeofday, gettimeofday);

ASKING(VELO_TAINT_CLOCK, int, timespec_get, (struct timespec * out, int base), out, base)

/* The clocks of intervals do not tell what time it is, but how long something took. */
EXPORT int clock_gettime(clockid_t clock, struct timespec *now)
{
    const bool wall =
        clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI;
    velo_asked(wall ? VELO_TAINT_CLOCK : VELO_TAINT_INTERVAL, __builtin_return_address(0));
    return NEXT(clock_gettime)(clock, now);
}

ASKING(VELO_TAINT_INTERVAL, clock_t, clock, (void))
ASKING(VELO_TAINT_INTERVAL, clock_t, times, (struct tms * out), out)
ASKING(VELO_TAINT_INTERVAL, int, getrusage, (__rusage_who_t who, struct rusage *out), who, out)

/* ---- chance ---------------------------------------------------------------------------------- */

/* Rust's library asks for what it seeds its tables with as "insecure". */
EXPORT ssize_t getrandom(void *bytes, size_t count, unsigned flags)
{
    velo_asked((flags & GRND_INSECURE) != 0 ? VELO_TAINT_SEEDS : VELO_TAINT_RANDOM,
               __builtin_return_address(0));
    return NEXT(getrandom)(bytes, count, flags);
}

ASKING(VELO_TAINT_RANDOM, int, getentropy, (void *bytes, size_t count), bytes, count)

uint32_t arc4random(void); /* since glibc 2.36, as the next two */
void arc4random_buf(void *bytes, size_t count);
uint32_t arc4random_uniform(uint32_t bound);

ASKING(VELO_TAINT_RANDOM, uint32_t, arc4random, (void))
ASKING(VELO_TAINT_RANDOM, void, arc4random_buf, (void *bytes, size_t count), bytes, count)
ASKING(VELO_TAINT_RANDOM, uint32_t, arc4random_uniform, (uint32_t bound), bound)

/* ---- what is done without files -------------------------------------------------------------- */

EXPORT int kill(pid_t pid, int signal)
{
    if (signal != 0)
        velo_taint(VELO_TAINT_SENT_SIGNAL);
    return NEXT(kill)(pid, signal);
}

ASKING(VELO_TAINT_SHARED_MEMORY, int, shm_open, (const char *name, int flags, mode_t mode), name,
       flags, mode)
ASKING(VELO_TAINT_SHARED_MEMORY, int, shmget, (key_t key, size_t size, int flags), key, size, flags)

/* ---- what the machine is --------------------------------------------------------------------- */

int __gethostname_chk(char *out, size_t size, size_t room);

ASKING(VELO_TAINT_MACHINE, int, uname, (struct utsname * out), out)
ASKING(VELO_TAINT_MACHINE, long, gethostid, (void))
ASKING(VELO_TAINT_MACHINE, int, gethostname, (char *out, size_t size), out, size)
ASKING(VELO_TAINT_MACHINE, int, __gethostname_chk, (char *out, size_t size, size_t room), out, size,
       room)
ASKING(VELO_TAINT_LOAD, int, getloadavg, (double out[], int count), out, count)
ASKING(VELO_TAINT_LOAD, int, sysinfo, (struct sysinfo * out), out)
ASKING(VELO_TAINT_LOAD, long, get_avphys_pages, (void))

/* Sanitizers ask before libc can be searched for a name, so the kernel is asked. */
EXPORT int prlimit(pid_t pid, enum __rlimit_resource resource, const struct rlimit *new,
                   struct rlimit *old)
{
    if (old != NULL)
        velo_asked(VELO_TAINT_LIMITS, __builtin_return_address(0));
    return (int)velo_answer(
        velo_sys4(SYS_prlimit64, pid, resource, velo_word(new), velo_word(old)));
}
ALIAS(prlimit64, prlimit);

EXPORT int getrlimit(__rlimit_resource_t resource, struct rlimit *out)
{
    velo_asked(VELO_TAINT_LIMITS, __builtin_return_address(0));
    return (int)velo_answer(velo_sys4(SYS_prlimit64, 0, resource, 0, velo_word(out)));
}
ALIAS(getrlimit64, getrlimit);
