/* imports.c - rewriting what the loader wrote: the tables through which an object calls others.
 *
 * A library that is loaded with RTLD_DEEPBIND asks the libraries that it needs, libc among them, before
 * the whole program. Its calls are then libc's own, which the kernel does not hand over to us (sud.h). */
#include "imports.h"

#include <sys/mman.h>

#include "kernel/text.h"
#include "preload/base/objects.h"
#include "preload/base/raw.h"

#define PAGE_BYTES 4096u

#if defined(__x86_64__)
enum { OF_CALL = R_X86_64_JUMP_SLOT, OF_DATA = R_X86_64_GLOB_DAT, OF_POINTER = R_X86_64_64 };
#else
enum { OF_CALL = R_AARCH64_JUMP_SLOT, OF_DATA = R_AARCH64_GLOB_DAT, OF_POINTER = R_AARCH64_ABS64 };
#endif

struct work {
    unsigned index; /* of the object that is looked at */
    const struct velo_loaded *before;
    bool done;
};

/* ---- what was loaded ------------------------------------------------------------------------- */

static int count(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    *(struct velo_loaded *)context = (struct velo_loaded){info->dlpi_adds, info->dlpi_subs};
    return 1;
}

void velo_loaded_now(struct velo_loaded *loaded)
{
    velo_each_object(count, loaded);
}

/* libc and the loader have no imports of ours that they would call, and we call libc on purpose. */
static bool is_exempt(const struct velo_object *object)
{
    return object->symbols == NULL || object->strings == NULL || velo_object_is_libc(object) ||
           velo_begins(object->soname, "ld-linux") || velo_begins(object->soname, "linux-vdso") ||
           velo_object_segment(object, (uintptr_t)&is_exempt) != NULL;
}

/* ---- one import ------------------------------------------------------------------------------ */

/* Context: the name. It may be what the first call finds. */
static int defines_too(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    struct velo_object object;
    velo_object_read(&object, info);
    return !is_exempt(&object) && velo_object_function(&object, context) != NULL;
}

/* What `slot` should hold, or NULL: it is right, or, with !*done, that cannot be known. No dlsym here: the list
 * of objects is locked. */
static void *replacement(const struct velo_object *object, const ElfW(Rela) * relocation,
                         const uintptr_t *slot, bool *done)
{
    const unsigned type = (unsigned)ELF64_R_TYPE(relocation->r_info);
    const uint32_t index = (uint32_t)ELF64_R_SYM(relocation->r_info);
    if (index == 0 || (type != OF_CALL && type != OF_DATA && type != OF_POINTER))
        return NULL;
    const char *name = object->strings + object->symbols[index].st_name;
    void *ours = velo_own_function(name);
    if (ours == NULL || (void *)*slot == ours)
        return NULL;
    if (type != OF_CALL || velo_object_segment(object, *slot) == NULL)
        return velo_is_libc_code((void *)*slot) ? ours : NULL;
    if (velo_each_object(defines_too, (void *)(uintptr_t)name) == 0) /* bound at the first call */
        return ours;
    *done = false;
    return NULL;
}

/* ---- one object ------------------------------------------------------------------------------ */

/* The pages that the loader wrote and then protected. */
static uintptr_t find_protected(const struct velo_object *object, size_t *size)
{
    *size = 0;
    for (unsigned i = 0; i < object->segment_count; i++) {
        const ElfW(Phdr) *segment = &object->segments[i];
        if (segment->p_type != PT_GNU_RELRO)
            continue;
        const uintptr_t start = (object->base + segment->p_vaddr) & ~(uintptr_t)(PAGE_BYTES - 1);
        const uintptr_t end =
            (object->base + segment->p_vaddr + segment->p_memsz) & ~(uintptr_t)(PAGE_BYTES - 1);
        *size = end > start ? end - start : 0;
        return start;
    }
    return 0;
}

static bool write_slot(const struct velo_object *object, uintptr_t *slot, void *value)
{
    size_t size = 0;
    const uintptr_t at = (uintptr_t)slot, pages = find_protected(object, &size);
    const ElfW(Phdr) *segment = velo_object_segment(object, at);
    const bool is_protected = at - pages < size;
    if (segment == NULL || (segment->p_flags & PF_W) == 0 ||
        (is_protected &&
         velo_sys3(SYS_mprotect, (long)pages, (long)size, PROT_READ | PROT_WRITE) != 0))
        return false;
    __atomic_store_n(slot, (uintptr_t)value, __ATOMIC_RELEASE);
    if (is_protected)
        velo_sys3(SYS_mprotect, (long)pages, (long)size, PROT_READ);
    return true;
}

static int rebind(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    struct work *work = context;
    struct velo_object object;
    velo_object_read(&object, info);
    if (work->index++ < work->before->added - work->before->removed || is_exempt(&object))
        return 0;
    work->done &= info->dlpi_subs == work->before->removed; /* else the index means nothing */
    for (int table = 0; table < 2; table++)
        for (size_t i = 0; i < object.relocation_count[table]; i++) {
            const ElfW(Rela) *relocation = &object.relocations[table][i];
            uintptr_t *slot = (uintptr_t *)(object.base + relocation->r_offset);
            void *value = replacement(&object, relocation, slot, &work->done);
            if (value != NULL && !write_slot(&object, slot, value))
                work->done = false;
        }
    return 0;
}

bool velo_imports_rebind(const struct velo_loaded *before)
{
    struct work work = {0, before, true};
    velo_each_object(rebind, &work);
    return work.done;
}
