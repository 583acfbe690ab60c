/* sanitizer.c - what a program wants loaded, from the dynamic section of its file. */
#include "sanitizer.h"

#include <elf.h>

#include "preload/base/raw.h"

#define ENTRIES_MAX 64u
#define NEEDED_MAX 4u /* compilers put a sanitizer at the front */
#define NAME_BYTES 256u

bool velo_is_sanitizer(const char *name, size_t length)
{
    static const char wanted[] = "libasan.so";
    return length >= sizeof wanted - 1 && length < VELO_SANITIZER_MAX &&
           memcmp(name, wanted, sizeof wanted - 1) == 0 && memchr(name, '/', length) == NULL;
}

bool velo_segment_at(const struct velo_segments *all, unsigned index, Elf64_Phdr *out)
{
    if (index >= all->count)
        return false;
    memcpy(out, all->first + (size_t)index * all->step, sizeof *out);
    return true;
}

/* Where in the file the loader will find an address; 0: nowhere. */
static uint64_t offset_of(const struct velo_segments *all, uint64_t address)
{
    Elf64_Phdr each;
    for (unsigned i = 0; velo_segment_at(all, i, &each); i++)
        if (each.p_type == PT_LOAD && address >= each.p_vaddr &&
            address - each.p_vaddr < each.p_filesz)
            return each.p_offset + (address - each.p_vaddr);
    return 0;
}

struct dynamic { /* what of the section tells of libraries */
    uint64_t needed[ENTRIES_MAX], strings; /* offsets in the file, 0: none */
    unsigned count;
    bool searches; /* RUNPATH or RPATH */
};

static void read_dynamic(int fd, const struct velo_segments *all, const Elf64_Phdr *segment,
                         struct dynamic *out)
{
    Elf64_Dyn entries[ENTRIES_MAX];
    const size_t wanted = segment->p_filesz < sizeof entries ? segment->p_filesz : sizeof entries;
    const long got = velo_sys4(SYS_pread64, fd, velo_word(entries), wanted, segment->p_offset);
    for (long i = 0; i < got / (long)sizeof *entries && entries[i].d_tag != DT_NULL; i++) {
        if (entries[i].d_tag == DT_NEEDED)
            out->needed[out->count++] = entries[i].d_un.d_val;
        else if (entries[i].d_tag == DT_STRTAB)
            out->strings = offset_of(all, entries[i].d_un.d_ptr);
        out->searches |= entries[i].d_tag == DT_RUNPATH || entries[i].d_tag == DT_RPATH;
    }
    if (out->strings == 0)
        out->count = 0;
}

static bool find_dynamic(int fd, const struct velo_segments *all, struct dynamic *out)
{
    Elf64_Phdr each;
    memset(out, 0, sizeof *out);
    for (unsigned i = 0; velo_segment_at(all, i, &each); i++)
        if (each.p_type == PT_DYNAMIC) {
            read_dynamic(fd, all, &each, out);
            return true;
        }
    return false;
}

static void read_needed(int fd, const struct dynamic *dynamic, unsigned index,
                        char name[NAME_BYTES])
{
    memset(name, 0, NAME_BYTES);
    velo_sys4(SYS_pread64, fd, velo_word(name), NAME_BYTES - 1,
              dynamic->strings + dynamic->needed[index]);
}

void velo_find_sanitizer(int fd, const struct velo_segments *all, char out[VELO_SANITIZER_MAX])
{
    struct dynamic dynamic;
    char name[NAME_BYTES];
    out[0] = 0;
    if (!find_dynamic(fd, all, &dynamic))
        return;
    for (unsigned i = 0; i < dynamic.count && i < NEEDED_MAX; i++) {
        read_needed(fd, &dynamic, i, name);
        if (velo_is_sanitizer(name, strlen(name))) {
            memcpy(out, name, strlen(name) + 1);
            return;
        }
    }
}

bool velo_has_own_libraries(int fd, const struct velo_segments *all)
{
    struct dynamic dynamic;
    char name[NAME_BYTES];
    if (!find_dynamic(fd, all, &dynamic))
        return false;
    bool found = dynamic.searches;
    for (unsigned i = 0; i < dynamic.count && !found; i++) {
        read_needed(fd, &dynamic, i, name);
        found = strchr(name, '/') != NULL;
    }
    return found;
}
