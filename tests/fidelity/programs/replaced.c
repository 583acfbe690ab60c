/* A name that is replaced by rename is there all the time, and is the old file or the new one: from
 * inside, from outside, a symlink, and while somebody watches. */
#include <pthread.h>
#include <sys/inotify.h>

#include "say.h"

#define ROUNDS 800

static volatile int stop;
static int missing, torn;

static void *look(void *nothing)
{
    char text[16];
    struct stat stat;
    while (!stop) {
        const int fd = open("x", O_RDONLY);
        missing += fd < 0 && errno == ENOENT;
        torn += fd >= 0 && (read(fd, text, sizeof text) != 8 || memcmp(text, "version", 7) != 0);
        if (fd >= 0)
            close(fd);
        missing += lstat("x", &stat) != 0;
        missing += access("x", F_OK) != 0;
    }
    return nothing;
}

static void replace(const char *from, const char *by)
{
    if (by != NULL) {
        unlink(from);
        if (symlink(by, from) != 0)
            say("symlink", -1);
    } else {
        write_file(from, "version2");
    }
    if (rename(from, "x") != 0)
        say("rename", -1);
}

static void run(const char *name, const char *from, const char *by)
{
    pthread_t threads[2];
    replace(from, by);
    stop = missing = torn = 0;
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, look, NULL);
    for (int round = 0; round < ROUNDS; round++)
        replace(from, by);
    stop = 1;
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    printf("%s: %d missing, %d torn\n", name, missing, torn);
    fflush(stdout);
}

int main(void)
{
    write_file("target", "version1");
    run("inside", "t", NULL);
    run("from outside", "../src/t", NULL);
    run("symlink", "t", "target");
    run("symlink from outside", "../src/t", "target");
    SAY(inotify_add_watch(inotify_init(), ".", IN_ALL_EVENTS) > 0);
    run("watched", "t", NULL);
    run("watched, from outside", "../src/t", NULL);
    return 0;
}
