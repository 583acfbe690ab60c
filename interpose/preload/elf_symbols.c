/* elf_symbols.c - hash tables of loaded objects.  See elf_symbols.h.
 *
 * The formats are those of the System V ABI (DT_HASH) and of GNU's linker (DT_GNU_HASH). */
#include "elf_symbols.h"

/* ---- one object ------------------------------------------------------------------------------ */

/* The loader has added the base to what the dynamic section says; for the kernel's object it has not. */
static uintptr_t at(const struct velo_object *object, uint64_t value)
{
    return value < object->base ? object->base + value : value;
}

static void take_entry(struct velo_object *out, const Elf64_Dyn *entry)
{
    const uintptr_t address = at(out, entry->d_un.d_ptr);
    switch (entry->d_tag) {
    case DT_SYMTAB:
        out->symbols = (const void *)address;
        break;
    case DT_STRTAB:
        out->strings = (const void *)address;
        break;
    case DT_GNU_HASH:
        out->gnu_hash = (const void *)address;
        break;
    case DT_HASH:
        out->sysv_hash = (const void *)address;
        break;
    case DT_JMPREL:
        out->plt = (const void *)address;
        break;
    case DT_PLTRELSZ:
        out->plt_count = entry->d_un.d_val / sizeof(Elf64_Rela);
        break;
    case DT_RELA:
        out->relocations = (const void *)address;
        break;
    case DT_RELASZ:
        out->relocation_count = entry->d_un.d_val / sizeof(Elf64_Rela);
        break;
    default:
        break;
    }
}

bool velo_object_read(const struct dl_phdr_info *info, struct velo_object *out)
{
    const Elf64_Dyn *dynamic = NULL;
    *out = (struct velo_object){.base = info->dlpi_addr, .start = UINTPTR_MAX};
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const Elf64_Phdr *segment = &info->dlpi_phdr[i];
        const uintptr_t start = info->dlpi_addr + segment->p_vaddr;
        if (segment->p_type == PT_DYNAMIC)
            dynamic = (const void *)start;
        if (segment->p_type != PT_LOAD)
            continue;
        out->start = start < out->start ? start : out->start;
        out->end = start + segment->p_memsz > out->end ? start + segment->p_memsz : out->end;
    }
    for (; dynamic != NULL && dynamic->d_tag != DT_NULL; dynamic++)
        take_entry(out, dynamic);
    return out->symbols != NULL && out->strings != NULL &&
           (out->gnu_hash != NULL || out->sysv_hash != NULL);
}

static uintptr_t address_if(const struct velo_object *object, uint32_t index, const char *name)
{
    const Elf64_Sym *symbol = &object->symbols[index];
    const unsigned type = ELF64_ST_TYPE(symbol->st_info);
    if (symbol->st_shndx == SHN_UNDEF || symbol->st_value == 0 || type == STT_TLS ||
        strcmp(object->strings + symbol->st_name, name) != 0)
        return 0;
    return object->base + symbol->st_value;
}

static uint32_t hash_of(const char *name)
{
    uint32_t hash = 5381;
    for (; *name != 0; name++)
        hash = hash * 33 + (unsigned char)*name;
    return hash;
}

/* Header: buckets, first symbol, words of the filter, shift; then filter, buckets, chains. */
static uintptr_t find_gnu(const struct velo_object *object, const char *name)
{
    const uint32_t *table = object->gnu_hash, hash = hash_of(name);
    const uint32_t buckets = table[0], first = table[1], words = table[2], shift = table[3];
    const uint64_t *filter = (const void *)(table + 4);
    const uint32_t *bucket = (const uint32_t *)(filter + words), *chain = bucket + buckets;
    const uint64_t word = filter[hash / 64 % words];
    if (buckets == 0 || (word >> hash % 64 & word >> (hash >> shift) % 64 & 1) == 0)
        return 0;
    uint32_t index = bucket[hash % buckets];
    for (; index >= first; index++) {
        const uint32_t link = chain[index - first];
        if ((link | 1) == (hash | 1)) {
            const uintptr_t found = address_if(object, index, name);
            if (found != 0)
                return found;
        }
        if ((link & 1) != 0)
            break;
    }
    return 0;
}

uintptr_t velo_object_find(const struct velo_object *object, const char *name)
{
    if (object->gnu_hash != NULL)
        return find_gnu(object, name);
    for (uint32_t index = 1; index < object->sysv_hash[1]; index++) { /* the second word: symbols */
        const uintptr_t found = address_if(object, index, name);
        if (found != 0)
            return found;
    }
    return 0;
}

/* ---- the two that matter --------------------------------------------------------------------- */

static struct velo_object libc, own;
static _Atomic bool libc_known, own_known; /* released when the object is whole */

static int find_both(struct dl_phdr_info *info, size_t size, void *context)
{
    struct velo_object *found = context, object;
    (void)size;
    if (!velo_object_read(info, &object))
        return 0;
    if (velo_object_holds(&object, (uintptr_t)&find_both))
        found[1] = object;
    else if (found[0].symbols == NULL && velo_object_find(&object, "gnu_get_libc_version") != 0)
        found[0] = object; /* the first: a second one was brought by somebody */
    return 0;
}

static void find(void)
{
    struct velo_object found[2] = {0};
    dl_iterate_phdr(find_both, found);
    if (found[0].symbols != NULL) {
        libc = found[0]; /* whoever comes twice writes the same */
        atomic_store_explicit(&libc_known, true, memory_order_release);
    }
    if (found[1].symbols != NULL) {
        own = found[1];
        atomic_store_explicit(&own_known, true, memory_order_release);
    }
}

const struct velo_object *velo_libc_object(void)
{
    if (!atomic_load_explicit(&libc_known, memory_order_acquire))
        find();
    return atomic_load_explicit(&libc_known, memory_order_acquire) ? &libc : NULL;
}

const struct velo_object *velo_own_object(void)
{
    if (!atomic_load_explicit(&own_known, memory_order_acquire))
        find();
    return atomic_load_explicit(&own_known, memory_order_acquire) ? &own : NULL;
}
