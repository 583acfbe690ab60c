/* syscall.h - what other files call of syscall.c. */
#ifndef VELO_PRELOAD_WRAP_SYSCALL_H
#define VELO_PRELOAD_WRAP_SYSCALL_H

#include "preload/base/preload.h"

velo_routed velo_syscall_routed;

#endif
