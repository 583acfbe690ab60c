/* loads.c - a program that names files through libc alone, until it loads a library that does not;
 * argument: that library. */
#include <dlfcn.h>

#include "raw.h"

static int (*make_with)(const char *name);
static int ends[2];

static void *early(void *unused)
{
    (void)unused;
    char byte;
    while (read(ends[0], &byte, 1) != 1) {
    }
    SAY("early thread: %d %d", access("by-library", F_OK), make_with("by-early-thread"));
    return NULL;
}

static void *late(void *unused)
{
    (void)unused;
    SAY("late thread: %d", make_with("by-late-thread"));
    return NULL;
}

int main(int count, char *words[])
{
    pthread_t threads[2];
    sigset_t all;
    sigfillset(&all);
    pipe(ends);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    pthread_create(&threads[0], NULL, early, NULL);
    void *library = dlopen(words[count - 1], RTLD_NOW);
    *(void **)&make_with = library == NULL ? NULL : dlsym(library, "library_make");
    SAY("loaded %d", make_with != NULL);
    SAY("made %d", make_with("by-library"));
    write(ends[1], "x", 1);
    pthread_join(threads[0], NULL);
    pthread_create(&threads[1], NULL, late, NULL);
    pthread_join(threads[1], NULL);
    SAY("again %d, closed %d", dlopen(words[count - 1], RTLD_NOW) == library, dlclose(library));
    return 0;
}
