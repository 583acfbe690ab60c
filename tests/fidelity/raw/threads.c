/* threads.c - raw calls from many threads at once, from small stacks, and after threads have ended;
 * cancellation finds no point in them. */
#include <limits.h>
#include <threads.h>

#include "raw.h"

#define THREADS 8
#define FILES 40

static void *work(void *number)
{
    char name[32], other[32];
    long good = 0;
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "t%ld-%d", (long)number, i);
        snprintf(other, sizeof other, "u%ld-%d", (long)number, i);
        good += make(name) && RAW(SYS_renameat2, AT_FDCWD, name, AT_FDCWD, other, 1) == 0 &&
                access(other, F_OK) == 0 && size_of(other) == (long)strlen(name);
    }
    return (void *)good;
}

static int work_c11(void *number)
{
    return (int)(long)work(number);
}

static void *wait_and_make(void *pipe_end)
{
    char byte;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    while (read(*(int *)pipe_end, &byte, 1) != 1) {
    }
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    /* Cancelled by now: the first cancellation point ends it, and a raw call is none. */
    const int made = make("after-cancel");
    SAY("made %d", made);
    pthread_testcancel();
    SAY("not reached");
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS], cancelled;
    pthread_attr_t small;
    pthread_attr_init(&small);
    TRY(pthread_attr_setstacksize(&small, 65536));
    for (long i = 0; i < THREADS; i++)
        pthread_create(&threads[i], i % 2 ? &small : NULL, work, (void *)i);
    for (long i = 0; i < THREADS; i++) {
        void *good;
        pthread_join(threads[i], &good);
        SAY("thread %ld: %ld", i, (long)good);
    }
    thrd_t c11;
    int good;
    TRY(thrd_create(&c11, work_c11, (void *)100L));
    TRY(thrd_join(c11, &good));
    SAY("%d", good);

    int ends[2];
    void *result;
    TRY(pipe(ends));
    pthread_create(&cancelled, NULL, wait_and_make, &ends[0]);
    pthread_cancel(cancelled);
    (void)!write(ends[1], "x", 1);
    pthread_join(cancelled, &result);
    SAY("cancelled %d", result == PTHREAD_CANCELED);
    SAY("%ld", (long)work((void *)200L));
    return 0;
}
