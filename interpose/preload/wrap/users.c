/* users.c - a process that becomes another user for good.
 *
 * What the new user may do in the real tree, the kernel decides; in memory we would have to guess it
 * (ACLs, capabilities, set-group-ID directories), and the new user cannot ask the router.  So from just
 * before that step on the process is opaque, as in a sandbox, and the tree is on disk.  A step that fails
 * is taken back.  A process that can go back (it keeps a saved or real user) still counts as its old user.
 *
 * What the old user's shards believe, the new one must not write: the tables become the process's own, and the log
 * of its step is gone.  Not in a process of several threads, of which one may be in the middle of a change. */
#include "kernel/proc.h"
#include "preload/base/preload.h"
#include "preload/base/raw.h"
#include "preload/replay/unit.h"
#include "preload/program/sandbox.h"
#include "users.h"

#define UNCHANGED ((uid_t) - 1)

struct users {
    uid_t real, effective, saved;
};

static struct users users_now(void)
{
    struct users now = {0, 0, 0};
    velo_sys3(SYS_getresuid, velo_word(&now.real), velo_word(&now.effective),
              velo_word(&now.saved));
    return now;
}

static uid_t chosen(uid_t asked, uid_t now)
{
    return asked == UNCHANGED ? now : asked;
}

/* setuid(2) by a user without the right changes the effective user alone. */
static struct users after_setuid(const struct users *now, uid_t uid)
{
    if (now->effective == 0)
        return (struct users){uid, uid, uid};
    return (struct users){now->real, uid, now->saved};
}

/* setreuid(2): the saved one follows when the real one is set, or the effective one to another. */
static struct users after_setreuid(const struct users *now, uid_t real, uid_t effective)
{
    struct users then = {chosen(real, now->real), chosen(effective, now->effective), now->saved};
    if (real != UNCHANGED || (effective != UNCHANGED && effective != now->real))
        then.saved = then.effective;
    return then;
}

static struct users after_setresuid(const struct users *now, uid_t real, uid_t effective,
                                    uid_t saved)
{
    return (struct users){chosen(real, now->real), chosen(effective, now->effective),
                          chosen(saved, now->saved)};
}

static bool is_for_good(const struct users *now, const struct users *then)
{
    return then->real != now->effective && then->effective != now->effective &&
           then->saved != now->effective;
}

struct becoming {
    int was; /* VELO_OFF: not for good, or outside already */
    int tables; /* a descriptor, or -1: they stay as they are */
};

static struct becoming become(const struct users *now, const struct users *then)
{
    const int was = is_for_good(now, then) ? velo_step_begin() : VELO_OFF;
    const bool parts = was != VELO_OFF && !velo_vfork_child && velo_is_alone();
    return (struct becoming){was, parts ? velo_region_reopen(&velo_the_region) : -1};
}

static void became(struct becoming step, long rc)
{
    const int saved = errno;
    velo_step_end(step.was, rc);
    if (step.tables >= 0) {
        if (rc == 0) {
            velo_region_part(&velo_the_region, step.tables);
            velo_unit_unmap();
        }
        raw_close(step.tables);
    }
    errno = saved;
}

/* A macro, because the calls have different numbers of arguments. */
#define BECOMES(then, call)                                                                        \
    ({                                                                                             \
        const struct users now_ = users_now(), *now = &now_;                                       \
        const struct users then_ = (then);                                                         \
        const struct becoming step_ = become(now, &then_);                                         \
        const long rc_ = (call);                                                                   \
        became(step_, rc_);                                                                        \
        rc_;                                                                                       \
    })

EXPORT int setuid(uid_t uid)
{
    velo_taint(VELO_TAINT_LEFT);
    return (int)BECOMES(after_setuid(now, uid), NEXT(setuid)(uid));
}

EXPORT int setreuid(uid_t real, uid_t effective)
{
    velo_taint(VELO_TAINT_LEFT);
    return (int)BECOMES(after_setreuid(now, real, effective), NEXT(setreuid)(real, effective));
}

EXPORT int setresuid(uid_t real, uid_t effective, uid_t saved)
{
    velo_taint(VELO_TAINT_LEFT);
    return (int)BECOMES(after_setresuid(now, real, effective, saved),
                        NEXT(setresuid)(real, effective, saved));
}

/* By number it is the calling thread alone that becomes another; opaque are all. */
long velo_becomes_by_number(long number, long a, long b, long c)
{
    const uid_t first = (uid_t)a, second = (uid_t)b, third = (uid_t)c;
    return velo_answer(BECOMES(number == SYS_setuid ? after_setuid(now, first)
                               : number == SYS_setreuid
                                   ? after_setreuid(now, first, second)
                                   : after_setresuid(now, first, second, third),
                               velo_sys3(number, a, b, c)));
}
