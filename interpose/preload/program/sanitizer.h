/* sanitizer.h - AddressSanitizer's library refuses to start when another comes before it.
 *
 * gcc links the sanitizer dynamically; then LD_PRELOAD names it before us, for that program alone. That
 * is the order of a program without velo, in which the loader's search for it is the same, too. clang
 * links it statically and asks for nothing; the other sanitizers do not mind. */
#ifndef VELO_PRELOAD_SANITIZER_H
#define VELO_PRELOAD_SANITIZER_H

#include <elf.h>

#include "preload/base/preload.h"

#define VELO_SANITIZER_MAX 32

/* Is this, without a directory, the name of such a library? */
bool velo_is_sanitizer(const char *name, size_t length);

/* The program headers of a file, as they stand in it. */
struct velo_segments {
    const unsigned char *first;
    unsigned count, step;
};

/* False: there is none of that number. */
bool velo_segment_at(const struct velo_segments *all, unsigned index, Elf64_Phdr *out);

/* Whether the loader may look for the libraries of that program beside the usual places: it has a RUNPATH,
 * or names one by a path. */
bool velo_has_own_libraries(int fd, const struct velo_segments *all);
/* The name by which the ELF program behind `fd` asks for it; "" when it does not. */
void velo_find_sanitizer(int fd, const struct velo_segments *all, char out[VELO_SANITIZER_MAX]);

#endif
