/* search.c - where the loader looks for libraries before it finds them.
 *
 * DT_RUNPATH and DT_RPATH of each object, and LD_LIBRARY_PATH, against each library's name: more pairs than the loader
 * tries, as its order is not followed. A pair too many costs a question, and at worst a step that is run. */
#include "search.h"

#include <stdlib.h>

#include "kernel/text.h"
#include "preload/base/objects.h"
#include "preload/base/raw.h"
#include "preload/path/claim.h"
#include "probe.h"
#include "unit.h"

#define NAMES_MAX 128
#define HARDWARE "glibc-hwcaps" /* libraries for better processors, in each directory */

static const char *names[NAMES_MAX];
static size_t name_count;

/* Not on the stack: a thread with a small one may be the one that calls exit. */
struct room {
    char origin[PATH_MAX], directory[PATH_MAX], path[PATH_MAX], absolute[PATH_MAX];
};
_Static_assert(sizeof(struct room) <= VELO_BUFFER_BYTES, "it lies in the thread's buffer");

static int collect_name(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size, (void)context;
    const char *path = info->dlpi_name;
    if (path == NULL || strchr(path, '/') == NULL || strcmp(path, velo_library_path) == 0)
        return 0;
    if (name_count == NAMES_MAX)
        return 1;
    names[name_count++] = velo_base_of(path);
    return 0;
}

static void ask(struct room *room, const char *directory, const char *name)
{
    struct velo_probed probed;
    if (strlen(directory) + strlen(name) + 2 > sizeof room->path)
        return;
    stpcpy(stpcpy(stpcpy(room->path, directory), "/"), name);
    if (velo_absolute_text(AT_FDCWD, room->path, room->absolute) < 0)
        velo_taint(VELO_TAINT_UNNAMED);
    else
        velo_saw_now(VELO_RECORD_ACCESS, 0, AT_FDCWD, room->absolute,
                     velo_probe(room->absolute, true, &probed));
}

static void ask_all(struct room *room, const char *directory)
{
    ask(room, directory, HARDWARE);
    for (size_t i = 0; i < name_count; i++)
        ask(room, directory, names[i]);
}

/* $ORIGIN is the directory of the object that says it. False: it is too long. */
static bool expand(const char *word, size_t length, const char *origin, char out[PATH_MAX])
{
    size_t used = 0;
    for (size_t i = 0; i < length;) {
        const char *at = word + i;
        const size_t taken = length - i >= 7 && strncmp(at, "$ORIGIN", 7) == 0     ? 7
                             : length - i >= 9 && strncmp(at, "${ORIGIN}", 9) == 0 ? 9
                                                                                   : 1;
        const char *piece = taken == 1 ? at : origin;
        const size_t size = taken == 1 ? 1 : strlen(origin);
        if (used + size >= PATH_MAX)
            return false;
        memcpy(out + used, piece, size);
        used += size;
        i += taken;
    }
    out[used] = 0;
    return true;
}

/* The directories of a list, as an object in `room->origin` means them. */
static void each_directory(struct room *room, const char *list)
{
    for (;;) {
        const size_t length = strcspn(list, ":;");
        if (length == 0)
            ask_all(room, ".");
        else if (expand(list, length, room->origin, room->directory))
            ask_all(room, room->directory);
        if (list[length] == 0)
            return;
        list += length + 1;
    }
}

/* The directory of an object; the program's name is not among the objects'. */
static void origin_of(const char *path, char out[PATH_MAX])
{
    const long length = path == NULL || path[0] == 0
                            ? raw_readlink(AT_FDCWD, "/proc/self/exe", out, PATH_MAX - 1)
                            : (long)strlen(path);
    if (path != NULL && path[0] != 0 && length < PATH_MAX)
        memcpy(out, path, (size_t)length);
    out[length < 0 || length >= PATH_MAX ? 0 : length] = 0;
    char *slash = strrchr(out, '/');
    if (slash != NULL)
        *slash = 0;
}

static int note_object(struct dl_phdr_info *info, size_t size, void *context)
{
    struct velo_object object;
    struct room *room = context;
    (void)size;
    velo_object_read(&object, info);
    if (object.search_path == NULL || object.search_path[0] == 0)
        return 0;
    origin_of(info->dlpi_name, room->origin);
    each_directory(room, object.search_path);
    return 0;
}

void velo_search_note(void)
{
    const char *listed = velo_variable("LD_LIBRARY_PATH");
    unsigned char *buffer = velo_buffer_take();
    struct room *room = (struct room *)buffer;
    if (room == NULL) {
        velo_taint(VELO_TAINT_UNNAMED);
        return;
    }
    name_count = 0;
    velo_each_object(collect_name, NULL);
    velo_each_object(note_object, room);
    if (listed != NULL && listed[0] != 0) {
        origin_of(NULL, room->origin);
        each_directory(room, listed);
    }
    velo_buffer_give(buffer);
}
