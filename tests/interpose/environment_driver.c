/* environment_driver.c - LD_PRELOAD and VELO_ARENA of a child (environment.c), under the control of
 * test_environment.py.
 *
 *     environment_driver LIBRARY
 *
 *     Lines of words, with tabs between; the words from ENTRY on are an environment.
 *     enter FIRST ENTRY...     what a child that is to be entered is given ("-": no library comes first)
 *     opaque ENTRY...          what one is given that is not to be
 *     preloads ENTRY...        1 when it names another library
 *     leave ENTRY...           what is left of our own environment when the process leaves for good
 *     become ENTRY...          the same when it has become another user
 *     heir ENTRY...            what a child of such a one is given
 *     start ENTRY...           what is left of it when we are loaded after a sanitizer
 *     Out: the environment, with tabs between; "=" when it is given as it is.
 *
 * The arena is /dev/shm/a. It is compiled with environment.c, to put back
 * what `leave` does for good. Every environment and every result is its own malloc of the exact size. */
#include "preload/program/environment.c"

#include <stdio.h>
#include <stdlib.h>

enum { LINE_BYTES = 1 << 16, WORDS_MAX = 256 };

_Atomic int velo_attachment = VELO_OFF; /* at first: environment.c has a constructor */
struct velo_region velo_the_region;
_Thread_local int velo_vfork_child;
char velo_library_path[1024];
char velo_arena_assignment[256 + 16] = "VELO_ARENA=/dev/shm/a";
char velo_arena_mark_assignment[VELO_MARK_BYTES] = "VELO_ARENA=@1";
uid_t velo_attached_as;

struct velo_region *velo_attach_now(void)
{
    return NULL;
}

bool velo_cannot_read(const volatile void *start, size_t length)
{
    (void)length;
    return velo_is_nowhere(start);
}

bool velo_cannot_read_text(const char *text)
{
    return velo_is_nowhere(text);
}

static void show(char *const all[])
{
    for (size_t i = 0; all[i] != NULL; i++)
        printf("%s%s", i == 0 ? "" : "\t", all[i]);
    printf("\n");
}

static char **own_copy(char *words[], size_t count)
{
    char **all = malloc((count + 1) * sizeof *all);
    for (size_t i = 0; i < count; i++)
        all[i] = strdup(words[i]);
    all[count] = NULL;
    return all;
}

static void make(char *const all[], bool enter, const char *first)
{
    const size_t bytes = velo_environment_bytes(all, enter, first);
    if (bytes == 0) {
        printf("=\n");
        return;
    }
    void *scratch = malloc(bytes);
    show(velo_environment_make(all, enter, first, scratch));
    free(scratch);
}

static void change_own(char **all, void (*change)(void))
{
    char **before = environ;
    environ = all;
    change();
    show(environ);
    environ = before;
    has_left = false;
}

static void as_another(char **all, bool child)
{
    velo_attached_as++;
    has_left = child;
    if (child)
        make(all, true, "");
    else
        change_own(all, velo_environment_leave);
    has_left = false;
    velo_attached_as--;
}

static void answer(char *words[], size_t count)
{
    const bool enters = strcmp(words[0], "enter") == 0;
    const size_t skipped = enters ? 2 : 1;
    char **all = own_copy(words + skipped, count - skipped);
    char **held = malloc((count - skipped + 1) * sizeof *held); /* `leave` takes entries out */
    memcpy(held, all, (count - skipped + 1) * sizeof *held);
    if (enters)
        make(all, true, strcmp(words[1], "-") == 0 ? "" : words[1]);
    else if (strcmp(words[0], "opaque") == 0)
        make(all, false, "");
    else if (strcmp(words[0], "preloads") == 0)
        printf("%d\n", velo_environment_preloads(all));
    else if (strcmp(words[0], "become") == 0 || strcmp(words[0], "heir") == 0)
        as_another(all, words[0][0] == 'h');
    else
        change_own(all, strcmp(words[0], "leave") == 0 ? velo_environment_leave : forget_sanitizer);
    for (size_t i = 0; held[i] != NULL; i++)
        free(held[i]);
    free(held);
    free(all);
}

int main(int argc, char **argv)
{
    static char line[LINE_BYTES];
    char *words[WORDS_MAX];
    if (argc != 2)
        return 2;
    snprintf(velo_library_path, sizeof velo_library_path, "%s", argv[1]);
    velo_attachment = VELO_ATTACHED;
    velo_attached_as = geteuid();
    while (fgets(line, sizeof line, stdin) != NULL) {
        size_t count = 0;
        line[strcspn(line, "\n")] = 0;
        for (char *each = strtok(line, "\t"); each != NULL; each = strtok(NULL, "\t"))
            words[count++] = each;
        answer(words, count);
        fflush(stdout);
    }
    return 0;
}
