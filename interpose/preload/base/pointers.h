/* pointers.h - may the memory that a program points at be read, or written?
 *
 * The kernel answers EFAULT where a wrapper would be killed by SIGSEGV, so a wrapper asks here before it
 * looks. A word that is no pointer at all costs one comparison (velo_is_nowhere). A page that was asked
 * about before costs one load, any other page one system call.
 *
 * True means that the memory is not there for that: leave the call to the kernel, or answer EFAULT. */
#ifndef VELO_PRELOAD_POINTERS_H
#define VELO_PRELOAD_POINTERS_H

#include "preload.h"

/* `size` bytes, at least one. */
bool velo_cannot_read(const volatile void *at, size_t size);
/* A text up to its end, or up to PATH_MAX bytes, after which the kernel reads no further. */
bool velo_cannot_read_text(const char *text);
/* `size` bytes, at least one. What they hold is not changed by asking. */
bool velo_cannot_write(volatile void *at, size_t size);

/* [at, at + size) may mean other memory from now on, or none. */
void velo_forget_pages(const volatile void *at, size_t size);

#endif
