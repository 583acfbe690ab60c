/* wrap_thread.c - new threads and processes of a watched process are watched too (dispatch.h).
 *
 * Elsewhere each of these is one test and libc's own. */
#include <pthread.h>
#include <stdlib.h>
#include <threads.h>
#include <unistd.h>

#include "dispatch.h"

struct start {
    void *(*function)(void *);
    int (*c11)(void *);
    void *argument;
    bool sigsys_blocked; /* masks are inherited */
};

/* malloc, as libc's own pthread_create does. */
static struct start *prepare(const struct start *start)
{
    struct start *copy = malloc(sizeof *copy);
    if (copy != NULL)
        *copy = *start;
    return copy;
}

static struct start arrive(void *prepared)
{
    const struct start start = *(struct start *)prepared;
    free(prepared);
    velo_sigsys_blocked = start.sigsys_blocked;
    velo_dispatch_thread();
    return start;
}

static void *begin(void *prepared)
{
    const struct start start = arrive(prepared);
    return start.function(start.argument);
}

static int begin_c11(void *prepared)
{
    const struct start start = arrive(prepared);
    return start.c11(start.argument);
}

EXPORT int pthread_create(pthread_t *restrict thread, const pthread_attr_t *restrict attributes,
                          void *(*function)(void *), void *restrict argument)
{
    if (!velo_is_watched())
        return NEXT(pthread_create)(thread, attributes, function, argument);
    struct start *start = prepare(&(struct start){.function = function,
                                                  .argument = argument,
                                                  .sigsys_blocked = velo_sigsys_blocked});
    if (start == NULL)
        return EAGAIN;
    const int rc = NEXT(pthread_create)(thread, attributes, begin, start);
    if (rc != 0)
        free(start);
    return rc;
}

EXPORT int thrd_create(thrd_t *thread, thrd_start_t function, void *argument)
{
    if (!velo_is_watched())
        return NEXT(thrd_create)(thread, function, argument);
    struct start *start = prepare(&(struct start){
        .c11 = function, .argument = argument, .sigsys_blocked = velo_sigsys_blocked});
    if (start == NULL)
        return thrd_nomem;
    const int rc = NEXT(thrd_create)(thread, begin_c11, start);
    if (rc != thrd_success)
        free(start);
    return rc;
}

/* fork runs the handlers of pthread_atfork, this one does not. */
EXPORT pid_t _Fork(void)
{
    const pid_t pid = NEXT(_Fork)();
    if (pid == 0 && velo_is_watched())
        velo_dispatch_forked();
    return pid;
}
