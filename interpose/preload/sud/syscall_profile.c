/* syscall_profile.c - which programs make raw system calls: found out once, and looked up in the arena then.
 *
 * Each loaded object is judged by itself, under its build-id, which the linker computed from its
 * contents; without one under device, inode, size and time of its file. So the 100 MB of a
 * compiler's library are read once in the life of a server. A start costs a look at two cache lines
 * per object, no system call. */
#include "syscall_profile.h"

#include <elf.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include "preload/base/objects.h"
#include "preload/base/raw.h"
#include "syscall_scan.h"

#define OBJECTS_MAX_BYTES (1ull << 32)
#define SEGMENTS_MAX 32
#define GO_NOTE_TYPE 4 /* of "Go": the build-id of its own linker */

/* What is known of one object while it is judged. */
struct object {
    const unsigned char *base; /* where address 0 of the file's own count is mapped */
    const Elf64_Phdr *segments;
    unsigned count;
};

/* ---- what it is ------------------------------------------------------------------------------ */

static uint64_t mix(uint64_t hash, const void *bytes, size_t count)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < count; i++)
        hash = (hash ^ at[i]) * 0x100000001b3ull;
    return hash;
}

/* Keys end in two bits for the verdict, and none is 0. */
static uint64_t finish(uint64_t hash)
{
    hash ^= hash >> 29;
    return (hash << 2) | (1ull << 63);
}

static bool is_mapped(const struct object *object, const Elf64_Phdr *part)
{
    for (unsigned i = 0; i < object->count; i++) {
        const Elf64_Phdr *segment = &object->segments[i];
        if (segment->p_type == PT_LOAD && (segment->p_flags & PF_R) != 0 &&
            part->p_vaddr >= segment->p_vaddr &&
            part->p_vaddr + part->p_filesz <= segment->p_vaddr + segment->p_filesz)
            return true;
    }
    return false;
}

static size_t padded(size_t size)
{
    return (size + 3) & ~(size_t)3;
}

/* The build-id goes into *key; *is_go becomes true for the notes of Go's linker. */
static void read_notes(const unsigned char *at, size_t size, uint64_t *key, bool *is_go)
{
    while (size >= sizeof(Elf64_Nhdr)) {
        Elf64_Nhdr note;
        memcpy(&note, at, sizeof note);
        const size_t name = padded(note.n_namesz),
                     whole = sizeof note + name + padded(note.n_descsz);
        if (name > size || whole > size)
            return;
        const unsigned char *text = at + sizeof note;
        if (note.n_namesz == 4 && memcmp(text, "GNU", 4) == 0 && note.n_type == NT_GNU_BUILD_ID)
            *key = mix(0xcbf29ce484222325ull, text + name, note.n_descsz);
        *is_go |= note.n_namesz == 4 && memcmp(text, "Go\0", 4) == 0 && note.n_type == GO_NOTE_TYPE;
        at += whole;
        size -= whole;
    }
}

/* 0 when it has no build-id. */
static uint64_t key_of_notes(const struct object *object, bool *is_go)
{
    uint64_t key = 0;
    for (unsigned i = 0; i < object->count; i++) {
        const Elf64_Phdr *segment = &object->segments[i];
        if (segment->p_type == PT_NOTE && is_mapped(object, segment))
            read_notes(object->base + segment->p_vaddr, segment->p_filesz, &key, is_go);
    }
    return key == 0 ? 0 : finish(key);
}

static uint64_t key_of_stat(const struct stat *stat)
{
    const uint64_t facts[] = {stat->st_dev, stat->st_ino, (uint64_t)stat->st_size,
                              (uint64_t)stat->st_mtim.tv_sec, (uint64_t)stat->st_mtim.tv_nsec};
    return finish(mix(0xcbf29ce484222325ull ^ 1, facts, sizeof facts));
}

/* ---- what it does ---------------------------------------------------------------------------- */

static const unsigned char *frames_of(const struct object *object)
{
    for (unsigned i = 0; i < object->count; i++)
        if (object->segments[i].p_type == PT_GNU_EH_FRAME &&
            is_mapped(object, &object->segments[i]))
            return object->base + object->segments[i].p_vaddr;
    return NULL;
}

static enum velo_profile scan(const struct object *object)
{
    for (unsigned i = 0; i < object->count; i++) {
        const Elf64_Phdr *segment = &object->segments[i];
        if (segment->p_type != PT_LOAD || (segment->p_flags & PF_X) == 0)
            continue;
        const unsigned char *start = object->base + segment->p_vaddr;
        const struct velo_text text = {start, start + segment->p_filesz, frames_of(object)};
        if ((segment->p_flags & PF_R) == 0 || velo_text_names_files(&text))
            return VELO_PROFILE_RAW;
    }
    return VELO_PROFILE_PLAIN;
}

/* `key` 0: nothing identifies it, so it is judged each time. */
static enum velo_profile known_or_scanned(struct velo_region *region, uint64_t key,
                                          const struct object *object, bool is_go)
{
    enum velo_profile profile = key == 0 ? VELO_PROFILE_NONE : velo_profile_find(region, key);
    if (profile != VELO_PROFILE_NONE)
        return profile;
    profile = is_go ? VELO_PROFILE_OPAQUE : scan(object);
    if (key != 0)
        velo_profile_keep(region, key, profile);
    return profile;
}

/* ---- what is loaded -------------------------------------------------------------------------- */

struct survey {
    struct velo_region *region;
    enum velo_profile worst;
};

static bool holds(const struct object *object, uintptr_t address)
{
    for (unsigned i = 0; i < object->count; i++) {
        const uintptr_t start = (uintptr_t)object->base + object->segments[i].p_vaddr;
        if (object->segments[i].p_type == PT_LOAD && address >= start &&
            address - start < object->segments[i].p_memsz)
            return true;
    }
    return false;
}

/* Objects that need no scan. We stand in front of our libc's calls (not of a copy's); the loader looks for files
 * on disk; the kernel's own object and we ourselves name no files. */
static bool is_exempt(const struct object *object, const char *path)
{
    const char *name = strrchr(path, '/');
    name = name == NULL ? path : name + 1;
    if (strncmp(name, "ld-linux", 8) == 0 || strncmp(name, "linux-vdso", 10) == 0)
        return true;
    return holds(object, (uintptr_t)&is_exempt) || holds(object, velo_libc_start());
}

static int scan_object(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    struct survey *survey = context;
    const struct object object = {(const unsigned char *)(uintptr_t)info->dlpi_addr,
                                  info->dlpi_phdr, info->dlpi_phnum};
    if (is_exempt(&object, info->dlpi_name))
        return 0;
    bool is_go = false;
    uint64_t key = key_of_notes(&object, &is_go);
    struct stat stat;
    const char *path = info->dlpi_name[0] == 0 ? "/proc/self/exe" : info->dlpi_name;
    if (key == 0 && raw_statat(AT_FDCWD, path, &stat, 0) == 0)
        key = key_of_stat(&stat);
    const enum velo_profile profile = known_or_scanned(survey->region, key, &object, is_go);
    if (profile > survey->worst)
        survey->worst = profile;
    return 0;
}

enum velo_profile velo_profile_of_process(struct velo_region *region)
{
    struct survey survey = {region, VELO_PROFILE_PLAIN};
    dl_iterate_phdr(scan_object, &survey);
    return survey.worst;
}

/* ---- what is about to be loaded -------------------------------------------------------------- */

static long map(void *at, size_t size, int fd, uint64_t offset)
{
    const int flags = MAP_PRIVATE | (fd < 0 ? MAP_ANONYMOUS | MAP_NORESERVE : MAP_FIXED);
    return velo_sys6(SYS_mmap, velo_word(at), size, fd < 0 ? PROT_NONE : PROT_READ, flags, fd,
                     offset);
}

/* The segments of `fd` where the loader would put them relative to each other, to be read only.
 * The size of the mapping, or 0. */
static size_t map_object(int fd, const Elf64_Phdr *segments, unsigned count, unsigned char **base)
{
    const uint64_t page = 4095;
    uint64_t end = 0;
    for (unsigned i = 0; i < count; i++)
        if (segments[i].p_type == PT_LOAD && segments[i].p_vaddr + segments[i].p_filesz > end)
            end = segments[i].p_vaddr + segments[i].p_filesz;
    if (end == 0 || end > OBJECTS_MAX_BYTES)
        return 0;
    const long room = map(NULL, end + page, -1, 0);
    if (room < 0 && room > -4096)
        return 0;
    *base = (unsigned char *)room;
    for (unsigned i = 0; i < count; i++) {
        const Elf64_Phdr *segment = &segments[i];
        const uint64_t start = segment->p_vaddr & ~page, before = segment->p_vaddr & page;
        if (segment->p_type == PT_LOAD && segment->p_filesz > 0)
            map(*base + start, segment->p_filesz + before, fd, segment->p_offset - before);
    }
    return end + page;
}

static enum velo_profile scan_file(struct velo_region *region, int fd, uint64_t key)
{
    struct {
        Elf64_Ehdr file;
        Elf64_Phdr segments[SEGMENTS_MAX];
    } head;
    const long size = velo_sys4(SYS_pread64, fd, velo_word(&head), sizeof head, 0);
    if (size < (long)sizeof head.file || memcmp(head.file.e_ident, ELFMAG, SELFMAG) != 0 ||
        head.file.e_ident[EI_CLASS] != ELFCLASS64 || head.file.e_phoff != sizeof head.file ||
        head.file.e_phnum > SEGMENTS_MAX)
        return VELO_PROFILE_PLAIN; /* the loader will say what it thinks of it */
    struct object object = {NULL, head.segments, head.file.e_phnum};
    unsigned char *base = NULL;
    const size_t mapped = map_object(fd, object.segments, object.count, &base);
    object.base = base;
    if (mapped == 0)
        return VELO_PROFILE_PLAIN;
    bool is_go = false;
    key_of_notes(&object, &is_go);
    const enum velo_profile profile = known_or_scanned(region, key, &object, is_go);
    velo_sys2(SYS_munmap, velo_word(base), mapped);
    return profile;
}

enum velo_profile velo_profile_of_file(struct velo_region *region, const char *path)
{
    struct stat stat;
    if (raw_statat(AT_FDCWD, path, &stat, 0) != 0 || !S_ISREG(stat.st_mode))
        return VELO_PROFILE_PLAIN;
    const uint64_t key = key_of_stat(&stat);
    enum velo_profile profile = velo_profile_find(region, key);
    if (profile != VELO_PROFILE_NONE)
        return profile;
    const int fd = (int)raw_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return VELO_PROFILE_PLAIN;
    profile = scan_file(region, fd, key);
    raw_close(fd);
    return profile;
}
