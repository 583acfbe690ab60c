/* syscall_scan.h - does this machine code make system calls that name files, without libc?
 *
 * In    the executable bytes of one loaded object, and its table of functions if it has one
 * Out   yes or no. "Yes" too often costs the program some speed, "no" too often a change unseen
 * Never a system call; 100 MB take some 30 ms, so the answer is remembered (syscall_profile.c). */
#ifndef VELO_PRELOAD_SYSCALL_SCAN_H
#define VELO_PRELOAD_SYSCALL_SCAN_H

#include "preload/base/preload.h"

struct velo_text {
    const unsigned char *start, *end;
    const unsigned char *frames; /* .eh_frame_hdr: where functions begin; NULL: unknown */
};

bool velo_text_names_files(const struct velo_text *text);

/* By number: where a system call goes to a function of ours, and whether code that makes it is looked for. */
enum { VELO_ROUTED_FILES = 1, VELO_ROUTED_OTHER = 2 };
#define VELO_NUMBERS_MAX 512
extern const unsigned char velo_syscall_is_routed[VELO_NUMBERS_MAX];

/* A routed call, as libc's syscall would return it (wrap/syscall.c); what handles raw calls has the pointer. */
typedef long velo_routed(long number, long a, long b, long c, long d, long e, long f);
extern velo_routed *velo_route_call;

#endif
