/* opaque.h - what has to be true on disk before a program runs, and whether we can enter it. */
#ifndef VELO_PRELOAD_OPAQUE_H
#define VELO_PRELOAD_OPAQUE_H

#include "sanitizer.h"

/* Why a program could not be run. `rc`: a -errno of the kernel, which knows no hosted file that is not on disk. */
long velo_program_error(int dirfd, const char *path, long rc);

/* Put on disk what the kernel's and the loader's own opens will look for: the program, if it is
 * hosted, and with it all programs and shared objects not yet there. Follows #! lines.
 * environment  the child's: LD_LIBRARY_PATH decides where its loader looks
 * first        becomes the library that must be loaded before us (sanitizer.h), or ""
 * returns      1 when the program is opaque: static, setuid, of another machine or libc; else 0, or
 *              -ETXTBSY: a process has it open for writing, and the disk's copy does not show that;
 *              -EACCES: so it is, and the caller may not run it anyway */
int velo_before_program(int dirfd, const char *path, char *const environment[],
                        char first[VELO_SANITIZER_MAX]);

/* `path` is opaque and this process becomes or spawns it: the tree is on disk from now on. */
void velo_run_opaque(const char *path);
/* The opaque program was spawned, as `pid`, or was not (0). */
void velo_opaque_child(pid_t pid, const char *path);

/* From here on this process is an opaque program itself, and its children are not entered. */
void velo_leave_namespace(struct velo_region *region);
/* The same, counted: code of it calls the kernel where we do not hear it. */
void velo_leave_unreachable(struct velo_region *region);
/* The process is opaque no more; `attachment` is what it was before. */
void velo_return_to_namespace(int attachment);

/* Where a search along $PATH finds `file`, hosted programs included. False: nowhere. */
bool velo_find_program(int directory, const char *file, char found[PATH_MAX]);

/* Before dlopen: shared objects on disk, if `path` may lead to a hosted one. */
void velo_flush_library(struct velo_region *region, const char *path);

#endif
