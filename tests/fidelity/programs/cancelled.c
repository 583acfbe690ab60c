/* A thread that waits for the other end of a FIFO, or comes to an open with a cancellation pending, is
 * cancelled there. */
#include <pthread.h>

#include "say.h"

static volatile int waits;

static void *open_fifo(void *path)
{
    waits = 1;
    open(path, O_RDONLY);
    return NULL;
}

static void *open_later(void *path)
{
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    while (waits != 2)
        sched_yield();
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    open(path, O_WRONLY | O_CREAT, 0600);
    return NULL;
}

static FILE *stream;
static char block[100000];

static void *write_on(void *nothing)
{
    waits = 1;
    for (;;) {
        fwrite(block, sizeof block, 1, stream);
        fseek(stream, 0, SEEK_SET);
        pthread_testcancel();
    }
    return nothing;
}

static void *write_raw(void *nothing)
{
    const int fd = fileno(stream);
    waits = 1;
    for (;;)
        pwrite(fd, block, sizeof block, 0);
    return nothing;
}

static void cancel(const char *name, void *(*body)(void *), const char *path)
{
    pthread_t thread;
    void *result = NULL;
    waits = 0;
    pthread_create(&thread, NULL, body, (void *)path);
    while (body != open_later && !waits)
        sched_yield();
    if (body != open_later)
        usleep(20000); /* it is most likely inside; if not, it is cancelled on its way there */
    pthread_cancel(thread);
    waits = 2;
    pthread_join(thread, &result);
    printf("%s: %s\n", name, result == PTHREAD_CANCELED ? "cancelled" : "not");
    fflush(stdout);
}

int main(void)
{
    mkfifo("fifo", 0600);
    cancel("fifo", open_fifo, "fifo");
    cancel("new file", open_later, "new");
    SAY(access("new", F_OK));
    cancel("old file", open_later, "old/a");
    stream = fopen("stream", "w+");
    for (int i = 0; i < 20; i++) {
        cancel("fwrite", write_on, NULL);
        cancel("pwrite", write_raw, NULL);
        rewind(stream);
        SAY(fwrite("after", 5, 1, stream));
    }
    SAY(fclose(stream));
    unlink("stream"); /* how much of a write was done when it was cancelled is nobody's */
    return 0;
}
