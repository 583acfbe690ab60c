/* sandbox.c - a process that gives itself, or a child, another view of the file systems.
 *
 * In another mount namespace, or below another root, the same text may mean another file, hosted
 * directories may appear a second time or have something else mounted on them, and neither the arena
 * nor our library need be there; in another pid namespace our process ids mean nothing.  So from just
 * before that step on the process is opaque: the tree is on disk, and compared as long as it lives, and
 * its children are not entered. */
#include "sandbox.h"

#include <sched.h>

#include "environment.h"
#include "opaque.h"

#define ANOTHER_VIEW (CLONE_NEWNS | CLONE_NEWPID)

void velo_enter_sandbox(void)
{
    struct velo_region *region = velo_here();
    if (region == NULL)
        return;
    const int saved = errno;
    velo_escape(region, VELO_ESCAPE_SANDBOX);
    if (velo_vfork_child) { /* what is remembered here is the parent's */
        velo_run_opaque(program_invocation_short_name);
    } else {
        velo_leave_namespace(region);
        velo_environment_leave();
    }
    errno = saved;
}

void velo_before_namespaces(unsigned long flags)
{
    if ((flags & ANOTHER_VIEW) != 0)
        velo_enter_sandbox();
}
