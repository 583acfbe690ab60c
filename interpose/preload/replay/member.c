/* member.c - a program of a unit writes down what it is. */
#include "member.h"

#include <link.h>
#include <sys/auxv.h>

#include "interpreter.h"
#include "search.h"
#include "unit.h"
#include "words.h"
#include "preload/base/raw.h"
#include "preload/path/claim.h"

#define OBJECTS_MAX 64

static struct {
    uintptr_t from, to;
} began_with[OBJECTS_MAX];
static size_t objects, own = OBJECTS_MAX; /* which is this library */

bool velo_member_began_with(const void *code)
{
    const uintptr_t at = (uintptr_t)code;
    for (size_t i = 0; i < objects; i++)
        if (at >= began_with[i].from && at < began_with[i].to)
            return true;
    return false;
}

bool velo_member_is_ours(const void *code)
{
    const uintptr_t at = (uintptr_t)code;
    return own < objects && at >= began_with[own].from && at < began_with[own].to;
}

/* A name that begins with no slash leads from where the process stood when the loader found it. */
static void note_relative(const char *name)
{
    char path[PATH_MAX];
    if (velo_absolute_text(AT_FDCWD, name, path) < 0 || raw_access(AT_FDCWD, path, F_OK) != 0)
        velo_taint(VELO_TAINT_UNNAMED); /* it has gone elsewhere since */
    else
        velo_saw_text(VELO_RECORD_OBJECT, path);
}

static int note_object(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size, (void)context;
    const char *name = info->dlpi_name;
    const char *slash = name == NULL ? NULL : strchr(name, '/');
    if (slash == NULL || strcmp(name, velo_library_path) == 0) /* the program, the kernel's own */
        return 0;
    if (slash == name)
        velo_saw_text(VELO_RECORD_OBJECT, name);
    else
        note_relative(name);
    return 0;
}

void velo_member_objects(void)
{
    dl_iterate_phdr(note_object, NULL);
    velo_search_note();
}

static int note_beginning(struct dl_phdr_info *info, size_t size, void *context)
{
    uintptr_t end = info->dlpi_addr;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const uintptr_t at = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
        if (info->dlpi_phdr[i].p_type == PT_LOAD && at + info->dlpi_phdr[i].p_memsz > end)
            end = at + info->dlpi_phdr[i].p_memsz;
    }
    if (info->dlpi_name != NULL && strcmp(info->dlpi_name, velo_library_path) == 0)
        own = objects;
    if (objects < OBJECTS_MAX) {
        began_with[objects].from = info->dlpi_addr;
        began_with[objects++].to = end;
    }
    return note_object(info, size, context);
}

/* The first word behind "#!", ended by 0; "" of what is no script. */
static void interpreter_of(const char *path, char out[PATH_MAX])
{
    char head[256] = "";
    const int fd = (int)raw_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
    if (fd >= 0)
        velo_sys4(SYS_pread64, fd, velo_word(head), sizeof head - 1, 0);
    if (fd >= 0)
        raw_close(fd);
    out[0] = 0;
    if (head[0] != '#' || head[1] != '!')
        return;
    const char *word = head + 2 + strspn(head + 2, " \t");
    const size_t length = strcspn(word, " \t\n");
    memcpy(out, word, length);
    out[length] = 0;
}

/* The name that was run may be a symlink, and lead to another program next time; so may its interpreter's. */
static void note_names(void)
{
    const char *name = (const char *)getauxval(AT_EXECFN);
    char interpreter[PATH_MAX];
    if (name == NULL || name[0] == 0)
        return;
    velo_saw_now(VELO_RECORD_READ, VELO_READ_TO_RUN, AT_FDCWD, name, 0);
    interpreter_of(name, interpreter);
    if (interpreter[0] == '/')
        velo_saw_now(VELO_RECORD_READ, VELO_READ_TO_RUN, AT_FDCWD, interpreter, 0);
}

static void note_words(const char *path, int argc, char *const argv[])
{
    struct velo_words words;
    if (velo_words_of(path, argc, argv, &words))
        velo_log_append(velo_unit, VELO_RECORD_WORDS, words.flags, words.cwd, strlen(words.cwd) + 1,
                        words.text, words.length);
}

void velo_member_begin(int argc, char *const argv[])
{
    char path[PATH_MAX], texts[PATH_MAX + NAME_MAX + 2];
    const long length = raw_readlink(AT_FDCWD, "/proc/self/exe", path, sizeof path - 1);
    path[length < 0 ? 0 : length] = 0;
    char *end = stpncpy(texts, program_invocation_short_name, NAME_MAX);
    *end++ = 0;
    const char *script;
    const unsigned told = velo_interpreter_told(path, argc, argv, &script);
    end = stpcpy(end, script) + 1;
    velo_log_append(velo_unit, VELO_RECORD_PROGRAM, told, path, strlen(path) + 1, texts,
                    (size_t)(end - texts));
    note_words(path, argc, argv);
    note_names();
    dl_iterate_phdr(note_beginning, NULL);
    velo_search_note();
    atomic_fetch_add(&velo_unit->enlisted, 1);
}
