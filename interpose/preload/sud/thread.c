/* thread.c - new threads: room for our frames; in a watched process they and new processes are
 * watched too (sud.h).
 *
 * Elsewhere each of these is one test and libc's own. */
#include <pthread.h>
#include <stdlib.h>
#include <threads.h>
#include <unistd.h>

#include "sud.h"
#include "preload/write/credit.h"
#include "preload/write/gate.h"

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
    velo_sud_thread();
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

/* ---- room on the stack ----------------------------------------------------------------------- */

/* A path is PATH_MAX bytes, and our frames hold up to five, where libc's function has none. Libc allows
 * stacks of 16 KiB, of which its own data take a quarter. A program that asks for so small a stack has
 * counted on libc's frames, so such a stack gets more. Rejected: mapping what frames hold, which costs each
 * call more than all the rest of it; a thread's own memory, which a handler in the middle of a call shares. */
#define OUR_BYTES (32u << 10)    /* 19 KiB is the most that a call was seen to take */
#define SMALL_BYTES (256u << 10) /* a program that asks for more did not count pages */

static bool is_own_memory(const pthread_attr_t *attributes)
{
    void *low = NULL;
    size_t size = 0;
    return NEXT(pthread_attr_getstack)(attributes, &low, &size) != 0 || (uintptr_t)low + size != 0;
}

/* Makes `*copy` of what the program wants, with a larger stack. False: it is large enough, or the
 * program's own memory. Nothing of the copy is to be freed. */
static bool with_room(const pthread_attr_t *wanted, pthread_attr_t *copy)
{
    size_t size = 0;
    if (velo_here() == NULL || wanted == NULL || is_own_memory(wanted) ||
        NEXT(pthread_attr_getstacksize)(wanted, &size) != 0 || size >= SMALL_BYTES)
        return false;
    *copy = *wanted;
    return NEXT(pthread_attr_setstacksize)(copy, size + OUR_BYTES) == 0;
}

static int create(pthread_t *thread, const pthread_attr_t *attributes, void *(*function)(void *),
                  void *argument)
{
    pthread_attr_t larger;
    int rc = EAGAIN;
    if (with_room(attributes, &larger))
        rc = NEXT(pthread_create)(thread, &larger, function, argument);
    return rc == EAGAIN ? NEXT(pthread_create)(thread, attributes, function, argument) : rc;
}

/* ---- threads and processes ------------------------------------------------------------------- */

EXPORT int pthread_create(pthread_t *restrict thread, const pthread_attr_t *restrict attributes,
                          void *(*function)(void *), void *restrict argument)
{
    if (!velo_is_sud())
        return create(thread, attributes, function, argument);
    struct start *start = prepare(&(struct start){
        .function = function, .argument = argument, .sigsys_blocked = velo_sigsys_blocked});
    if (start == NULL)
        return EAGAIN;
    const int rc = create(thread, attributes, begin, start);
    if (rc != 0)
        free(start);
    return rc;
}

EXPORT int thrd_create(thrd_t *thread, thrd_start_t function, void *argument)
{
    if (!velo_is_sud())
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
    if (pid == 0)
        velo_gate_forked();
    if (pid == 0 && velo_is_sud())
        velo_sud_forked();
    return pid;
}
