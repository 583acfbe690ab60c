/* elf_symbols.h - the symbols of a loaded object, read as the loader reads them.
 *
 * In    what dl_iterate_phdr tells of an object
 * Out   an address by name; which object an address lies in
 * Never dlsym, which we stand in front of, nor a lock but dl_iterate_phdr's */
#ifndef VELO_PRELOAD_ELF_SYMBOLS_H
#define VELO_PRELOAD_ELF_SYMBOLS_H

#include <elf.h>
#include <link.h>

#include "preload.h"

struct velo_object {
    uintptr_t base;       /* added to each address in the file */
    uintptr_t start, end; /* of what is mapped */
    const Elf64_Sym *symbols;
    const char *strings;
    const uint32_t *gnu_hash, *sysv_hash; /* one may be NULL */
    const Elf64_Rela *plt, *relocations;
    size_t plt_count, relocation_count;
};

/* False: it has no symbols. */
bool velo_object_read(const struct dl_phdr_info *info, struct velo_object *out);

/* The address of the function or object `name` that it defines, of whatever version, or 0. */
uintptr_t velo_object_find(const struct velo_object *object, const char *name);

static inline bool velo_object_holds(const struct velo_object *object, uintptr_t address)
{
    return address - object->start < object->end - object->start;
}

/* The C library that this process is bound to, and ourselves; NULL before they are found. */
const struct velo_object *velo_libc_object(void);
const struct velo_object *velo_own_object(void);

#endif
