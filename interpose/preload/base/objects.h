/* objects.h - what the loader has mapped: whose code lies where, and which names lead to it.
 *
 * Read from the objects' own tables, without dlsym, which is one of the functions that we stand in
 * front of, and without allocating. A sanitizer asks dlsym for all that it stands in front of while none
 * of its functions works yet: so none of libc's is called here but the one that lists the objects, and
 * that by its address in libc. */
#ifndef VELO_PRELOAD_OBJECTS_H
#define VELO_PRELOAD_OBJECTS_H

#include <link.h>

#include "preload.h"

/* One object's dynamic section; a pointer is NULL where there is no such table. */
struct velo_object {
    uintptr_t base; /* what its own addresses count from */
    const ElfW(Phdr) * segments;
    unsigned segment_count;
    const char *path, *soname;
    const char *search_path; /* where it has its libraries looked for: DT_RUNPATH, else DT_RPATH */
    const ElfW(Sym) * symbols;
    const char *strings;
    const uint32_t *gnu_hash, *sysv_hash; /* one may be NULL */
    const uint16_t *versions;
    const ElfW(Rela) * relocations[2]; /* data, procedures */
    size_t relocation_count[2];
};

static inline bool velo_same_text(const char *one, const char *other)
{
    while (*one != 0 && *one == *other) {
        one++;
        other++;
    }
    return *one == *other;
}

/* libc's dl_iterate_phdr. */
typedef int velo_for_each_object(struct dl_phdr_info *info, size_t size, void *context);
int velo_each_object(velo_for_each_object *visit, void *context);

void velo_object_read(struct velo_object *object, const struct dl_phdr_info *info);
/* The segment that holds `address`, or NULL. */
const ElfW(Phdr) * velo_object_segment(const struct velo_object *object, uintptr_t address);
/* The function of that name that the object defines, in its default version, or NULL. */
void *velo_object_function(const struct velo_object *object, const char *name);
/* The object that holds `address`. False: none. */
bool velo_object_at(const void *address, struct velo_object *object);
/* Part of the C library: of ours, or of a copy of it that was loaded beside. */
bool velo_object_is_libc(const struct velo_object *object);

/* ---- libc, and ourselves --------------------------------------------------------------------- */
/* Our own function of that name, or NULL: we do not stand in front of it. */
void *velo_own_function(const char *name);
uintptr_t velo_libc_start(void); /* of the libc that we are bound to */
/* Code of it, or of any part or copy of it. */
bool velo_is_libc_code(const void *address);
/* The program names libraries that audit the loader (DT_AUDIT). */
bool velo_program_is_audited(void);
/* The path of the loader that runs in this process, or NULL. */
const char *velo_own_loader(void);
/* libc's dlsym and dlvsym, past all that stand in front. They take the code that uses the pointer for the caller. */
typedef void *velo_lookup(void *handle, const char *name);
typedef void *velo_lookup_version(void *handle, const char *name, const char *version);
velo_lookup *velo_real_dlsym_itself(void);
velo_lookup_version *velo_real_dlvsym_itself(void);
void *velo_real_dlsym(void *handle, const char *name);

#endif
