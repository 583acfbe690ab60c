/* sandbox.c - a process that gives itself, or a child, another view of the file systems.
 *
 * In another mount namespace, or below another root, the same text may mean another file.  Hosted
 * directories may appear a second time or have something else mounted on them, and the arena and our
 * library may be missing.  In another pid namespace our process ids mean nothing; in another user
 * namespace owners have other numbers.  So from just before that step on the process is opaque: the
 * tree is on disk, and compared as long as the process lives, and its children are not entered. */
#include "sandbox.h"

#include <linux/sched.h>

#include "environment.h"
#include "opaque.h"
#include "preload/base/pointers.h"
#include "preload/base/raw.h"
#include "preload/replay/unit.h"

#define ANOTHER_VIEW (CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUSER)

bool velo_is_another_view(uint64_t flags)
{
    return (flags & ANOTHER_VIEW) != 0;
}

static pid_t self(void)
{
    return (pid_t)velo_sys0(SYS_getpid);
}

/* ---- this process ---------------------------------------------------------------------------- */

int velo_step_begin(void)
{
    struct velo_region *region = velo_has_left() ? NULL : velo_here();
    if (region == NULL)
        return VELO_OFF;
    const int was = atomic_load_explicit(&velo_attachment, memory_order_acquire);
    const int saved = errno;
    velo_escape(region, VELO_ESCAPE_SANDBOX);
    if (velo_vfork_child) /* what is remembered here is the parent's */
        velo_run_opaque(program_invocation_short_name);
    else
        velo_leave_namespace(region);
    errno = saved;
    return was;
}

void velo_step_end(int was, long rc)
{
    if (was == VELO_OFF)
        return;
    if (rc == 0)
        velo_environment_leave();
    else if (!velo_vfork_child)
        velo_return_to_namespace(was);
}

/* ---- a child --------------------------------------------------------------------------------- */

bool velo_child_begins(uint64_t flags)
{
    struct velo_region *region = NULL;
    if (velo_is_another_view(flags) && (flags & CLONE_VM) == 0 && !velo_has_left())
        region = velo_here();
    if (region == NULL)
        return false;
    velo_escape(region, VELO_ESCAPE_SANDBOX);
    velo_opaque_leaves(region, self(), program_invocation_short_name);
    return true;
}

void velo_child_began(long rc)
{
    const int saved = errno;
    if (rc == 0) {
        velo_mark_gone(&velo_the_region);
        velo_switch_off();
        velo_environment_leave();
    } else {
        velo_opaque_child(rc > 0 ? (pid_t)rc : 0, program_invocation_short_name);
    }
    errno = saved;
}

void velo_before_shared_child(uint64_t flags)
{
    if (velo_is_another_view(flags))
        velo_step_end(velo_step_begin(), 0);
}

/* ---- by number ------------------------------------------------------------------------------- */

/* The arguments of clone or clone3. clone3 has them in memory; if that memory is bad, the kernel says so best. */
static struct clone_args arguments_of(long number, long a, long b)
{
    struct clone_args arguments = {0};
    if (number == SYS_clone) {
        arguments.flags = (uint64_t)a;
        arguments.stack = (uint64_t)b;
    } else if (b >= CLONE_ARGS_SIZE_VER0 && !velo_cannot_read((void *)a, CLONE_ARGS_SIZE_VER0)) {
        memcpy(&arguments, (void *)a, CLONE_ARGS_SIZE_VER0);
    }
    return arguments;
}

__attribute__((used)) bool velo_number_is_elsewhere(long number, long a, long b)
{
    const struct clone_args arguments = arguments_of(number, a, b);
    if (arguments.stack == 0 && (arguments.flags & (CLONE_VM | CLONE_SETTLS)) == 0)
        return velo_is_another_view(arguments.flags);
    velo_before_shared_child(arguments.flags);
    return false;
}

long velo_restricts_itself(long number, long a, long b)
{
    velo_taint(VELO_TAINT_LEFT);
    const int was = velo_step_begin();
    const long rc = velo_sys2(number, a, b);
    velo_step_end(was, rc);
    return velo_answer(rc);
}

long velo_clone_elsewhere(long number, long a, long b, long c, long d, long e)
{
    const bool elsewhere = velo_child_begins(arguments_of(number, a, b).flags);
    const long rc = velo_sys5(number, a, b, c, d, e);
    if (elsewhere)
        velo_child_began(rc);
    return rc;
}
