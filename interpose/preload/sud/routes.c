/* routes.c - which system calls go to a function of ours, by number. */
#include "kernel/sys.h"
#include "syscall_scan.h"

velo_routed *velo_route_call;

/* Read by the stub of syscall(2), too. */
__attribute__((used)) const unsigned char velo_syscall_is_routed[VELO_NUMBERS_MAX] = {
#define FILES(name, call) [SYS_##name] = VELO_ROUTED_FILES,
#define OTHER(name, call) [SYS_##name] = VELO_ROUTED_OTHER,
#include "preload/calls.def"
};
