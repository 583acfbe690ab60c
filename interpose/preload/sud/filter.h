/* filter.h - what a process gives up with a seccomp filter, looked at before it is installed. */
#ifndef VELO_PRELOAD_FILTER_H
#define VELO_PRELOAD_FILTER_H

/* Before prctl(PR_SET_SECCOMP, mode, filter). */
void velo_before_prctl_seccomp(unsigned long mode, unsigned long filter);
/* Before seccomp(operation, flags, filter), which libc has no name for. */
void velo_before_seccomp(unsigned long operation, unsigned long filter);

#endif
