/* sud.h - raw system calls: the second net, for programs that do not always ask libc.
 *
 * In    a program, or a library it loads, whose code makes system calls that name files (syscall_scan.h)
 * Out   the kernel raises SIGSYS for each system call made outside libc's text (Syscall User
 *       Dispatch); the handler (sigsys.c) gives it to the function that stands in front of libc's
 * Never anything in a process that has no such code: it pays nothing. Never a difference that the
 *       program can see: SIGSYS looks unused to it (sud/signal.c).
 *
 * The kernel's part belongs to a thread. It ends with exec, and is off in new threads and after
 * fork; vfork children do without until they exec. A thread that is not watched yet becomes so at
 * its first call of any function of ours (velo_here).
 * Where the kernel cannot do this, or the code must not be interrupted on its own stack (Go), the
 * process is opaque: it sees the disk, as programs do that cannot be entered at all. */
#ifndef VELO_PRELOAD_SUD_H
#define VELO_PRELOAD_SUD_H

#include <signal.h>

#include "preload/base/preload.h"

enum { VELO_PASSES = 0, VELO_HANDED_OVER = 1 };

/* Read by the kernel at each system call outside libc's text. */
extern _Thread_local unsigned char velo_selector __attribute__((tls_model("initial-exec")));
/* The program believes that it blocks SIGSYS in this thread. */
extern _Thread_local unsigned char velo_sigsys_blocked __attribute__((tls_model("initial-exec")));

/* sigsys.c: what handles the signal, and what it needs to know before the first. Set by start.c. */
extern void (*velo_handler)(int signal, siginfo_t *info, void *context);
extern void (*velo_handler_prepare)(void);

/* At the start of a process: look at what is loaded, and watch it if need be. */
void velo_sud_program(struct velo_region *region);
/* The same for a file that is about to be loaded. */
void velo_sud_library(struct velo_region *region, const char *path);
/* In a watched process: the calling thread is watched from here on. */
void velo_sud_thread(void);
/* The calling thread is the only one of a new process, and not watched yet. */
void velo_sud_forked(void);
/* The calling thread was made by clone(2), and is not watched yet. */
void velo_sud_cloned(void);
/* The program wants the kernel's facility for itself, or filters system calls from now on, so that
 * no thread can be added any more. */
void velo_sud_end(struct velo_region *region);
void velo_sud_filtered(void);

/* SIGSYS as the program wants it. The program after exec inherits that, not what we did: between
 * `before` and `after` (exec failed) the kernel knows it. */
extern struct sigaction velo_sigsys_wanted;
void velo_sud_before_exec(void);
void velo_sud_after_exec(void);

static inline bool velo_is_sud(void)
{
    return __builtin_expect(
        atomic_load_explicit(&velo_attachment, memory_order_relaxed) == VELO_SUD, 0);
}

#endif
