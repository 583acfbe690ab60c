/* trace.c - a process that begins to trace others leaves the namespace.
 *
 * A tracer stops its tracees at each system call, also at one made while the namespace lock is held.
 * Then it would wait for that lock itself. So from its first request on a tracer is treated as an
 * opaque program: all that it could look at is put on disk, and the next walk after its end looks at
 * the disk again. PTRACE_TRACEME is said by the tracee, and changes nothing. */
#include "preload/program/opaque.h"

#include <stdarg.h>
#include <sys/ptrace.h>

EXPORT long ptrace(enum __ptrace_request request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    const pid_t pid = va_arg(arguments, pid_t);
    void *address = va_arg(arguments, void *);
    void *data = va_arg(arguments, void *);
    va_end(arguments);
    struct velo_region *region = request == PTRACE_TRACEME ? NULL : velo_here();
    if (region != NULL && !velo_vfork_child)
        velo_leave_namespace(region);
    return NEXT(ptrace)(request, pid, address, data);
}
