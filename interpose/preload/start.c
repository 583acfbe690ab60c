/* start.c - what happens in a process before its program runs: it enlists, and learns what it is.
 *
 * Of the library's constructors this is the first (101). The next give what was inherited its due: streams
 * (wrap/io.c), the environment (environment.c). */
#include <stdlib.h>
#include <time.h>

#include "preload/sud/sud.h"
#include "preload/program/environment.h"
#include "preload/write/credit.h"
#include "preload/base/objects.h"
#include "preload/program/opaque.h"
#include "preload/sud/signals.h"
#include "preload/sud/syscall_scan.h"
#include "preload/wrap/syscall.h"
#include "preload/sud/sigsys.h"

/* Libraries that audit the loader have a libc of their own, and see the tree before we do. */
static bool is_audited(void)
{
    const char *audit = velo_environment_get(environ, "LD_AUDIT");
    return (audit != NULL && audit[0] != 0) || velo_program_is_audited();
}

__attribute__((constructor(101))) static void enlist(void)
{
    struct velo_region *region = velo_here();
    if (region == NULL)
        return;
    velo_route_call = velo_syscall_routed;
#if defined(__x86_64__)
    velo_handler = velo_sigsys;
    velo_handler_prepare = velo_sigsys_find_loader;
#endif
    velo_single_threaded = velo_real_dlsym(RTLD_DEFAULT, "__libc_single_threaded");
    velo_clock = NEXT(clock_gettime);
    velo_enlist(region, program_invocation_short_name);
    if (is_audited()) {
        velo_escape(region, VELO_ESCAPE_UNREACHABLE);
        velo_leave_namespace(region);
        return;
    }
    velo_sud_program(region);
}
