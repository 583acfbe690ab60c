/* objects.c - finding code and names among what is mapped; libc's own dlsym. */
#include "objects.h"

#include <dlfcn.h>
#include <sys/auxv.h>

#include "kernel/text.h"

/* ---- one object ------------------------------------------------------------------------------ */

/* The loader adds the base to most of these in place, but not in objects that it cannot write. */
static const void *located(uintptr_t base, uintptr_t value)
{
    return (const void *)(value < base ? value + base : value);
}

/* A text that is named by its place among the object's strings. */
struct texts {
    size_t soname, runpath, rpath;
};

static void read_entry(struct velo_object *object, const ElfW(Dyn) * entry, struct texts *texts)
{
    const void *place = located(object->base, entry->d_un.d_ptr);
    switch (entry->d_tag) {
    case DT_SYMTAB:
        object->symbols = place;
        break;
    case DT_STRTAB:
        object->strings = place;
        break;
    case DT_GNU_HASH:
        object->gnu_hash = place;
        break;
    case DT_HASH:
        object->sysv_hash = place;
        break;
    case DT_VERSYM:
        object->versions = place;
        break;
    case DT_RELA:
        object->relocations[0] = place;
        break;
    case DT_JMPREL:
        object->relocations[1] = place;
        break;
    case DT_RELASZ:
        object->relocation_count[0] = entry->d_un.d_val / sizeof(ElfW(Rela));
        break;
    case DT_PLTRELSZ:
        object->relocation_count[1] = entry->d_un.d_val / sizeof(ElfW(Rela));
        break;
    case DT_SONAME:
        texts->soname = entry->d_un.d_val;
        break;
    case DT_RUNPATH:
        texts->runpath = entry->d_un.d_val;
        break;
    case DT_RPATH:
        texts->rpath = entry->d_un.d_val;
        break;
    default:
        break;
    }
}

static void read_dynamic(struct velo_object *object, const ElfW(Dyn) * entry)
{
    struct texts texts = {0};
    for (; entry->d_tag != DT_NULL; entry++)
        read_entry(object, entry, &texts);
    if (object->strings == NULL)
        return;
    const size_t search = texts.runpath != 0 ? texts.runpath : texts.rpath;
    if (texts.soname != 0)
        object->soname = object->strings + texts.soname;
    if (search != 0)
        object->search_path = object->strings + search;
}

void velo_object_read(struct velo_object *object, const struct dl_phdr_info *info)
{
    *object = (struct velo_object){.base = info->dlpi_addr,
                                   .segments = info->dlpi_phdr,
                                   .segment_count = info->dlpi_phnum,
                                   .path = info->dlpi_name,
                                   .soname = ""};
    for (unsigned i = 0; i < object->segment_count; i++)
        if (object->segments[i].p_type == PT_DYNAMIC)
            read_dynamic(object, (const void *)(object->base + object->segments[i].p_vaddr));
}

const ElfW(Phdr) * velo_object_segment(const struct velo_object *object, uintptr_t address)
{
    for (unsigned i = 0; i < object->segment_count; i++) {
        const ElfW(Phdr) *segment = &object->segments[i];
        if (segment->p_type == PT_LOAD &&
            address - object->base - segment->p_vaddr < segment->p_memsz)
            return segment;
    }
    return NULL;
}

/* Where the linker put the names; see any description of DT_GNU_HASH. */
struct gnu_hash {
    uint32_t bucket_count, first, filter_words, filter_shift;
    ElfW(Addr) filter[];
};

static uint32_t hash_of(const char *name)
{
    uint32_t hash = 5381;
    for (; *name != 0; name++)
        hash = hash * 33 + (unsigned char)*name;
    return hash;
}

/* Most names are refused by one word of the filter. */
static bool may_hold(const struct gnu_hash *table, uint32_t hash)
{
    const unsigned bits = sizeof(ElfW(Addr)) * 8;
    const ElfW(Addr) word = table->filter[hash / bits & (table->filter_words - 1)];
    return (word >> hash % bits & word >> (hash >> table->filter_shift) % bits & 1) != 0;
}

#define VERSION_IS_OLD 0x8000 /* not the one that a caller without a version gets */

static bool defines(const struct velo_object *object, uint32_t index, const char *name)
{
    const ElfW(Sym) *symbol = &object->symbols[index];
    return symbol->st_shndx != SHN_UNDEF && ELF64_ST_TYPE(symbol->st_info) == STT_FUNC &&
           (object->versions == NULL || (object->versions[index] & VERSION_IS_OLD) == 0) &&
           velo_same_text(object->strings + symbol->st_name, name);
}

static void *find_gnu(const struct velo_object *object, const char *name)
{
    const struct gnu_hash *table = (const void *)object->gnu_hash;
    const uint32_t hash = hash_of(name);
    if (table->bucket_count == 0 || !may_hold(table, hash))
        return NULL;
    const uint32_t *buckets = (const uint32_t *)(table->filter + table->filter_words);
    const uint32_t *chain = buckets + table->bucket_count;
    uint32_t index = buckets[hash % table->bucket_count];
    if (index < table->first)
        return NULL;
    for (;; index++) {
        const uint32_t other = chain[index - table->first];
        if ((other | 1) == (hash | 1) && defines(object, index, name))
            return (void *)(object->base + object->symbols[index].st_value);
        if ((other & 1) != 0)
            return NULL;
    }
}

/* The second word counts the symbols. */
static void *find_sysv(const struct velo_object *object, const char *name)
{
    for (uint32_t index = 1; index < object->sysv_hash[1]; index++)
        if (defines(object, index, name))
            return (void *)(object->base + object->symbols[index].st_value);
    return NULL;
}

void *velo_object_function(const struct velo_object *object, const char *name)
{
    if (object->symbols == NULL || object->strings == NULL)
        return NULL;
    if (object->gnu_hash != NULL)
        return find_gnu(object, name);
    return object->sysv_hash != NULL ? find_sysv(object, name) : NULL;
}

/* ---- all objects ----------------------------------------------------------------------------- */

struct search {
    uintptr_t address;
    struct velo_object *object;
};

static int is_at(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    const struct search *search = context;
    const struct velo_object object = {
        .base = info->dlpi_addr, .segments = info->dlpi_phdr, .segment_count = info->dlpi_phnum};
    if (velo_object_segment(&object, search->address) == NULL)
        return 0;
    velo_object_read(search->object, info);
    return 1;
}

bool velo_object_at(const void *address, struct velo_object *object)
{
    struct search search = {(uintptr_t)address, object};
    return velo_each_object(is_at, &search) != 0;
}

/* Before 2.34 threads and the loader's functions were libraries of their own. */
bool velo_object_is_libc(const struct velo_object *object)
{
    return velo_begins(object->soname, "libc.so.") ||
           velo_begins(object->soname, "libpthread.so.") ||
           velo_begins(object->soname, "libdl.so.") || velo_begins(object->soname, "librt.so.");
}

/* ---- ourselves ------------------------------------------------------------------------------- */

extern const ElfW(Ehdr) velo_own_header __asm__("__ehdr_start")
    __attribute__((visibility("hidden")));

static void read_ourselves(struct velo_object *object)
{
    const struct dl_phdr_info info = {
        .dlpi_addr = (uintptr_t)&velo_own_header,
        .dlpi_name = "",
        .dlpi_phdr = (const void *)((uintptr_t)&velo_own_header + velo_own_header.e_phoff),
        .dlpi_phnum = velo_own_header.e_phnum,
    };
    velo_object_read(object, &info);
}

void *velo_own_function(const char *name)
{
    static struct velo_object ourselves;
    static _Atomic bool known;
    if (!atomic_load_explicit(&known, memory_order_acquire)) {
        struct velo_object object;
        read_ourselves(&object);
        ourselves = object; /* others that come at the same time write the same */
        atomic_store_explicit(&known, true, memory_order_release);
    }
    return velo_object_function(&ourselves, name);
}

/* ---- libc ------------------------------------------------------------------------------------ */

/* Of the libc that we are bound to: the first one that the loader lists. */
static struct {
    _Atomic bool known; /* set last */
    velo_lookup *lookup; /* NULL: a libc before 2.34 whose program has no libdl */
    velo_lookup_version *lookup_version;
    int (*each_object)(velo_for_each_object *, void *);
    uintptr_t start, size; /* of its code */
} libc;

/* The first page of a library is its header. */
static void note_libc(const struct velo_object *object)
{
    const ElfW(Ehdr) *header = (const void *)object->base;
    const ElfW(Phdr) *segments = (const void *)(object->base + header->e_phoff);
    for (unsigned i = 0; i < header->e_phnum; i++) {
        if (segments[i].p_type != PT_LOAD || (segments[i].p_flags & PF_X) == 0)
            continue;
        libc.start = object->base + segments[i].p_vaddr;
        libc.size = segments[i].p_memsz;
    }
    *(void **)&libc.each_object = velo_object_function(object, "dl_iterate_phdr");
}

/* Before 2.34 these two are in a library of their own. */
static void note_lookups(const struct velo_object *object)
{
    void *const by_name = velo_object_function(object, "dlsym");
    void *const by_version = velo_object_function(object, "dlvsym");
    if (libc.lookup != NULL || by_name == NULL || by_version == NULL)
        return;
    *(void **)&libc.lookup_version = by_version;
    *(void **)&libc.lookup = by_name;
}

/* The loader's list, as a debugger reads it. Weak: the linker shall not make us need the loader by name. */
extern struct r_debug loaders_list __asm__("_r_debug") __attribute__((weak));

/* libc is there from the start and stays, so no dlclose takes away the objects that are walked over before
 * it; threads that come at the same time find the same. */
static void know_libc(void)
{
    if (__builtin_expect(atomic_load_explicit(&libc.known, memory_order_acquire), 1))
        return;
    const struct link_map *each = &loaders_list == NULL ? NULL : loaders_list.r_map;
    for (; each != NULL && libc.lookup == NULL; each = each->l_next) {
        struct velo_object object = {.base = each->l_addr, .soname = ""};
        read_dynamic(&object, each->l_ld);
        const bool is_libc = velo_begins(object.soname, "libc.so.");
        if (is_libc && libc.start == 0 && object.base != 0)
            note_libc(&object);
        if (is_libc || velo_begins(object.soname, "libdl.so."))
            note_lookups(&object);
    }
    atomic_store_explicit(&libc.known, true, memory_order_release);
}

int velo_each_object(velo_for_each_object *visit, void *context)
{
    know_libc();
    return libc.each_object != NULL ? libc.each_object(visit, context)
                                    : dl_iterate_phdr(visit, context);
}

velo_lookup *velo_real_dlsym_itself(void)
{
    know_libc();
    return libc.lookup;
}

velo_lookup_version *velo_real_dlvsym_itself(void)
{
    know_libc();
    return libc.lookup_version;
}

struct next {
    const char *name;
    bool behind_us;
    void *found;
};

static int probe_behind(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    struct next *next = context;
    struct velo_object object;
    velo_object_read(&object, info);
    if (next->behind_us)
        next->found = velo_object_function(&object, next->name);
    else
        next->behind_us = velo_object_segment(&object, (uintptr_t)&probe_behind) != NULL;
    return next->found != NULL;
}

void *velo_real_dlsym(void *handle, const char *name)
{
    struct next next = {name, handle != RTLD_NEXT, NULL};
    velo_lookup *const lookup = velo_real_dlsym_itself();
    /* dlsym would drop what dlerror has told the program, which may be about to print it. */
    if (lookup == NULL || handle == RTLD_NEXT)
        velo_each_object(probe_behind, &next);
    if (lookup == NULL || next.found != NULL)
        return next.found;
    void *volatile found = lookup(handle, name); /* from our own frame */
    return found;
}

uintptr_t velo_libc_start(void)
{
    know_libc();
    return libc.start;
}

bool velo_is_libc_code(const void *address)
{
    struct velo_object object;
    know_libc();
    return (uintptr_t)address - libc.start < libc.size ||
           (address != NULL && velo_object_at(address, &object) && velo_object_is_libc(&object));
}

/* ---- the loader ------------------------------------------------------------------------------ */

static int find_loader(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    const unsigned long base = getauxval(AT_BASE);
    if (base == 0 || info->dlpi_addr != base || info->dlpi_name[0] == 0)
        return 0;
    *(const char **)context = info->dlpi_name;
    return 1;
}

const char *velo_own_loader(void)
{
    static _Atomic(const char *) known;
    const char *name = atomic_load_explicit(&known, memory_order_relaxed);
    if (name == NULL) {
        velo_each_object(find_loader, &name);
        atomic_store_explicit(&known, name, memory_order_relaxed);
    }
    return name;
}

static int is_audited(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    bool *audited = context;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type != PT_DYNAMIC)
            continue;
        const ElfW(Dyn) *entry = (const void *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
        for (; entry->d_tag != DT_NULL; entry++)
            *audited |= entry->d_tag == DT_AUDIT || entry->d_tag == DT_DEPAUDIT;
    }
    return 1; /* the program is the first */
}

bool velo_program_is_audited(void)
{
    bool audited = false;
    velo_each_object(is_audited, &audited);
    return audited;
}
