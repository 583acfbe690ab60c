/* sanitizer.c - what a program wants loaded first, from the dynamic section of its file. */
#include "sanitizer.h"

#include <elf.h>

#include "raw.h"

#define ENTRIES_MAX 64u
#define NEEDED_MAX 4u /* compilers put it at the front */

bool velo_is_sanitizer(const char *name, size_t length)
{
    static const char wanted[] = "libasan.so";
    return length >= sizeof wanted - 1 && length < VELO_SANITIZER_MAX &&
           memcmp(name, wanted, sizeof wanted - 1) == 0 && memchr(name, '/', length) == NULL;
}

struct segments {
    const unsigned char *first;
    unsigned count, step;
};

static bool segment_at(const struct segments *all, unsigned index, Elf64_Phdr *out)
{
    if (index >= all->count)
        return false;
    memcpy(out, all->first + (size_t)index * all->step, sizeof *out);
    return true;
}

/* Where in the file the loader will find an address; 0: nowhere. */
static uint64_t offset_of(const struct segments *all, uint64_t address)
{
    Elf64_Phdr each;
    for (unsigned i = 0; segment_at(all, i, &each); i++)
        if (each.p_type == PT_LOAD && address >= each.p_vaddr &&
            address - each.p_vaddr < each.p_filesz)
            return each.p_offset + (address - each.p_vaddr);
    return 0;
}

static void look_into(int fd, const struct segments *all, const Elf64_Phdr *dynamic,
                      char out[VELO_SANITIZER_MAX])
{
    Elf64_Dyn entries[ENTRIES_MAX];
    uint64_t needed[NEEDED_MAX], strings = 0;
    unsigned count = 0;
    const size_t wanted =
        dynamic->p_filesz < sizeof entries ? dynamic->p_filesz : sizeof entries;
    const long got = velo_sys4(SYS_pread64, fd, velo_word(entries), wanted, dynamic->p_offset);
    for (long i = 0; i < got / (long)sizeof *entries && entries[i].d_tag != DT_NULL; i++) {
        if (entries[i].d_tag == DT_NEEDED && count < NEEDED_MAX)
            needed[count++] = entries[i].d_un.d_val;
        else if (entries[i].d_tag == DT_STRTAB)
            strings = offset_of(all, entries[i].d_un.d_ptr);
    }
    for (unsigned i = 0; i < count && strings != 0; i++) {
        char name[VELO_SANITIZER_MAX] = "";
        velo_sys4(SYS_pread64, fd, velo_word(name), sizeof name - 1, strings + needed[i]);
        if (velo_is_sanitizer(name, strlen(name))) {
            memcpy(out, name, sizeof name);
            return;
        }
    }
}

void velo_find_sanitizer(int fd, const unsigned char *head, size_t size,
                         char out[VELO_SANITIZER_MAX])
{
    Elf64_Ehdr file;
    Elf64_Phdr each;
    out[0] = 0;
    memcpy(&file, head, sizeof file);
    if (file.e_phentsize < sizeof each || file.e_phoff > size ||
        (size - file.e_phoff) / file.e_phentsize < file.e_phnum)
        return;
    const struct segments all = {head + file.e_phoff, file.e_phnum, file.e_phentsize};
    for (unsigned i = 0; segment_at(&all, i, &each); i++)
        if (each.p_type == PT_DYNAMIC)
            look_into(fd, &all, &each, out);
}
