/* environment.c - LD_PRELOAD and VELO_ARENA put back where a program dropped them.
 *
 * Other preloads keep their place and come first; a program that sets VELO_ARENA or VELO_DISABLE
 * itself is believed. */
#include "environment.h"

#include <unistd.h>

#include "preload/base/pointers.h"
#include "preload/base/raw.h"
#include "sanitizer.h"

#define NAME_MAX_BYTES 16u /* of the names that are asked for here */

static const char *value_of(const char *entry, const char *name)
{
    if (velo_cannot_read(entry, 1) ||
        ((uintptr_t)entry % 4096 > 4096 - NAME_MAX_BYTES && velo_cannot_read_text(entry)))
        return NULL;
    while (*name != 0 && *entry == *name) {
        entry++;
        name++;
    }
    return *name == 0 && *entry == '=' && !velo_cannot_read_text(entry) ? entry + 1 : NULL;
}

const char *velo_environment_get(char *const environment[], const char *name)
{
    for (; !velo_cannot_read(environment, sizeof *environment) && *environment != NULL;
         environment++) {
        const char *value = value_of(*environment, name);
        if (value != NULL)
            return value;
    }
    return NULL;
}

/* The list that the loader believes, of several the last; or NULL. */
static const char *preload_list(char *const environment[])
{
    const char *list = NULL;
    for (; !velo_cannot_read(environment, sizeof *environment) && *environment != NULL;
         environment++) {
        const char *value = value_of(*environment, "LD_PRELOAD");
        if (value != NULL)
            list = value;
    }
    return list;
}

/* The next item of a list of libraries (spaces or colons between), and its length; NULL behind the last. */
static const char *next_item(const char *list, size_t *length)
{
    list += strspn(list, ": ");
    *length = strcspn(list, ": ");
    return *length == 0 ? NULL : list;
}

static bool is_us(const char *item, size_t length)
{
    return length == strlen(velo_library_path) && memcmp(item, velo_library_path, length) == 0;
}

/* Where in a list we are named, or NULL. */
static const char *find_ourselves(const char *list)
{
    for (size_t length = 0; list != NULL && (list = next_item(list, &length)) != NULL;
         list += length)
        if (is_us(list, length))
            return list;
    return NULL;
}

/* Libraries behind us would not be asked for a hosted path: those that change what a call says or does
 * (times, owners) come first, in whatever order they were given. */
static bool is_last(const char *us)
{
    const char *rest = us + strlen(velo_library_path);
    return rest[strspn(rest, ": ")] == 0;
}

/* Some library of that name, wherever it lies. */
static bool names_library(const char *list, const char *name)
{
    return list != NULL && strstr(list, name) != NULL;
}

static bool says_one(char *const environment[], const char *name)
{
    const char *value = velo_environment_get(environment, name);
    return value != NULL && strcmp(value, "1") == 0;
}

static bool is_disabled(char *const environment[])
{
    return says_one(environment, "VELO_DISABLE");
}

bool velo_environment_is_outside(char *const environment[])
{
    return is_disabled(environment) && !says_one(environment, "VELO_STARTED_OVER");
}

static size_t count_of(char *const environment[])
{
    size_t count = 0;
    while (environment != NULL && environment[count] != NULL)
        count++;
    return count;
}

/* All of the list can be read, up to its end. */
static bool is_whole(char *const environment[])
{
    while (!velo_cannot_read(environment, sizeof *environment))
        if (*environment++ == NULL)
            return true;
    return false;
}

bool velo_environment_preloads(char *const environment[])
{
    const char *item = preload_list(environment);
    for (size_t length = 0; item != NULL && (item = next_item(item, &length)) != NULL;
         item += length)
        if (!is_us(item, length))
            return true;
    return false;
}

static bool has_left; /* for good */

bool velo_has_left(void)
{
    return has_left || velo_vfork_child == VELO_VFORK_CHILD_LEFT;
}

/* Has this process become another user for good (users.c)? Only processes of the arena's own user are to know where
 * the arena is, since all that know may write there. */
static bool conceals(char *const environment[])
{
    const char *arena = velo_has_left() ? velo_environment_get(environment, "VELO_ARENA") : NULL;
    return arena != NULL && arena[0] == '/' && (uid_t)velo_sys0(SYS_geteuid) != velo_attached_as;
}

/* The server was stopped, and this process goes on without it (a daemon): the library that its children would be
 * told to load is gone, and the loader would say so. */
static bool arena_is_gone(void)
{
    return velo_sys4(SYS_faccessat, AT_FDCWD, velo_word(velo_library_path), F_OK, 0) == -ENOENT;
}

size_t velo_environment_bytes(char *const environment[], bool enter, const char *first)
{
    if (environment != NULL && !is_whole(environment))
        return 0; /* the kernel refuses it */
    if ((velo_here() == NULL && !velo_has_left()) || velo_library_path[0] == 0 ||
        is_disabled(environment))
        return 0;
    if (!velo_has_left() && arena_is_gone())
        velo_environment_leave();
    enter = enter && !velo_has_left();
    const char *preload = preload_list(environment);
    const char *us = find_ourselves(preload);
    const bool named = us != NULL;
    const bool ordered =
        (us == NULL || is_last(us)) && (first[0] == 0 || names_library(preload, first));
    if (enter ? named && ordered && velo_environment_get(environment, "VELO_ARENA") != NULL
              : !named && !conceals(environment))
        return 0;
    const size_t text = sizeof "LD_PRELOAD=" + 2 + strlen(velo_library_path) + strlen(first) +
                        (preload == NULL ? 0 : strlen(preload));
    return (count_of(environment) + 3) * sizeof(char *) + text;
}

static char *append(char *end, const char *text, size_t length)
{
    memcpy(end, text, length);
    end[length] = 0;
    return end + length;
}

static char *append_item(char *end, const char *item, size_t length)
{
    if (end[-1] != '=')
        *end++ = ':';
    return append(end, item, length);
}

/* "LD_PRELOAD=" and `old` with us behind the others, or without us. */
static void write_preload(char *out, const char *old, bool enter, const char *first)
{
    char *end = append(out, "LD_PRELOAD=", 11);
    if (enter && first[0] != 0 && !names_library(old, first))
        end = append_item(end, first, strlen(first));
    for (size_t length = 0; old != NULL && (old = next_item(old, &length)) != NULL; old += length)
        if (!is_us(old, length))
            end = append_item(end, old, length);
    if (enter)
        append_item(end, velo_library_path, strlen(velo_library_path));
}

char *const *velo_environment_make(char *const environment[], bool enter, const char *first,
                                   void *scratch)
{
    enter = enter && !velo_has_left();
    const bool concealed = conceals(environment);
    const size_t count = count_of(environment);
    char **made = scratch;
    char *text = (char *)(made + count + 3);
    size_t used = 0;
    write_preload(text, preload_list(environment), enter, first);
    for (size_t i = 0; i < count; i++)
        if (concealed && value_of(environment[i], "VELO_ARENA") != NULL)
            made[used++] = velo_arena_mark_assignment;
        else if (value_of(environment[i], "LD_PRELOAD") == NULL)
            made[used++] = environment[i];
    if (text[11] != 0)
        made[used++] = text;
    if (enter && velo_environment_get(environment, "VELO_ARENA") == NULL)
        made[used++] = velo_arena_assignment;
    made[used] = NULL;
    return made;
}

/* In place: the text only gets shorter. True when we were in it. */
static bool take_us_out(char *list)
{
    bool was_there = false;
    for (const char *us; (us = find_ourselves(list)) != NULL; was_there = true) {
        char *start = list + (us - list);
        const char *rest = us + strlen(velo_library_path);
        if (start != list)
            start--;
        else if (*rest != 0)
            rest++;
        memmove(start, rest, strlen(rest) + 1);
    }
    return was_there;
}

static void forget_entry(char **entry)
{
    do
        entry[0] = entry[1];
    while (*entry++ != NULL);
}

/* A list of nothing is no entry at all. */
void velo_environment_leave(void)
{
    if (velo_vfork_child) { /* memory is its parent's */
        velo_vfork_child = VELO_VFORK_CHILD_LEFT;
        return;
    }
    has_left = true;
    const bool concealed = conceals(environ);
    for (char **entry = environ; entry != NULL && *entry != NULL;) {
        const char *list = value_of(*entry, "LD_PRELOAD");
        if (list != NULL && take_us_out(*entry + (list - *entry)) && *list == 0)
            forget_entry(entry);
        else if (concealed && value_of(*entry, "VELO_ARENA") != NULL)
            *entry++ = velo_arena_mark_assignment;
        else
            entry++;
    }
}

/* ---- a sanitizer's library that was put before us -------------------------------------------- */

/* The sanitizer's library is loaded by now: the program, and what it runs, see LD_PRELOAD without that library. */
__attribute__((constructor(104))) static void forget_sanitizer(void)
{
    if (velo_here() == NULL)
        return;
    for (char **entry = environ; *entry != NULL; entry++) {
        if (value_of(*entry, "LD_PRELOAD") == NULL)
            continue;
        char *list = *entry + 11, *rest = strchr(list, ':');
        const size_t item = strcspn(list, ":");
        if (rest != NULL && velo_is_sanitizer(list, item) && find_ourselves(rest + 1) == rest + 1)
            memmove(list, rest + 1, strlen(rest));
    }
}
