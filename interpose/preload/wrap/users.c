/* users.c - a process that becomes another user.
 *
 * What the new user may do in the real tree, the kernel decides; in memory we would have to guess it
 * (ACLs, capabilities, set-group-ID directories), with an arena that he could write.  So from just
 * before that step on the process is opaque, as in a sandbox: the tree is on disk, and he can neither
 * open the arena nor ask the router.  A step that fails is taken back. */
#include <sys/fsuid.h>

#include "preload/base/preload.h"
#include "preload/base/raw.h"
#include "preload/program/sandbox.h"
#include "users.h"

#define UNCHANGED ((uid_t) - 1)

static bool is_another(uid_t uid)
{
    return uid != UNCHANGED && uid != (uid_t)velo_sys0(SYS_geteuid);
}

/* A macro, because the calls have different numbers of arguments. */
#define BECOMES(another, call)                                                                     \
    ({                                                                                             \
        const int was_ = (another) ? velo_step_begin() : VELO_OFF;                                 \
        const long rc_ = (call);                                                                   \
        velo_step_end(was_, rc_);                                                                  \
        rc_;                                                                                       \
    })

EXPORT int setuid(uid_t uid)
{
    return (int)BECOMES(is_another(uid), NEXT(setuid)(uid));
}

EXPORT int seteuid(uid_t uid)
{
    return (int)BECOMES(is_another(uid), NEXT(seteuid)(uid));
}

EXPORT int setreuid(uid_t real, uid_t effective)
{
    return (int)BECOMES(is_another(real) || is_another(effective), NEXT(setreuid)(real, effective));
}

EXPORT int setresuid(uid_t real, uid_t effective, uid_t saved)
{
    return (int)BECOMES(is_another(real) || is_another(effective) || is_another(saved),
                        NEXT(setresuid)(real, effective, saved));
}

/* It never says that it failed; what is asked afterwards, does. */
static long set_file_user(uid_t uid, long *before)
{
    *before = velo_sys1(SYS_setfsuid, uid);
    return (uid_t)velo_sys1(SYS_setfsuid, UNCHANGED) == uid ? 0 : -EPERM;
}

EXPORT int setfsuid(uid_t uid)
{
    long before;
    (void)BECOMES(is_another(uid), set_file_user(uid, &before));
    return (int)before;
}

/* By number it is the calling thread alone that becomes another; opaque are all. */
long velo_becomes_by_number(long number, long a, long b, long c)
{
    const bool another = is_another((uid_t)a) || (number != SYS_setuid && is_another((uid_t)b)) ||
                         (number == SYS_setresuid && is_another((uid_t)c));
    return velo_answer(BECOMES(another, velo_sys3(number, a, b, c)));
}

long velo_file_user_by_number(long uid)
{
    return setfsuid((uid_t)uid);
}
