/* Four processes want one name, each way in which only one can have it: what the winner does is never
 * undone by another. And who lists, or stands below, a directory meanwhile sees it whole. */
#include <pthread.h>
#include <sched.h>

#include "say.h"

#define PROCESSES 4
#define ROUNDS 600
#define RENAMES 1500

enum way {
    BY_OPEN,
    BY_MKDIR,
    BY_SYMLINK,
    BY_LINK,
    BY_RENAME,
    BY_MKNOD,
    BY_MKFIFO,
    BY_LINK_IN,
    BY_RENAME_IN,
    WAYS,
};
static const char *const ways[WAYS] = {
    "open", "mkdir", "symlink", "link", "rename", "mknod", "mkfifo", "link in", "rename in",
};

static int with_own(const char *own, int renames)
{
    close(creat(own, 0600));
    const int rc =
        renames ? renameat2(AT_FDCWD, own, AT_FDCWD, "lock", RENAME_NOREPLACE) : link(own, "lock");
    const int code = errno;
    if (!renames || rc != 0)
        unlink(own);
    errno = code;
    return rc;
}

static int take(enum way way, const char *inside, const char *outside)
{
    switch (way) {
    case BY_OPEN:
        return close(open("lock", O_CREAT | O_EXCL | O_WRONLY, 0600));
    case BY_MKDIR:
        return mkdir("lock", 0700);
    case BY_SYMLINK:
        return symlink("x", "lock");
    case BY_MKNOD:
        return mknod("lock", S_IFREG | 0600, 0);
    case BY_MKFIFO:
        return mkfifo("lock", 0600);
    case BY_LINK:
        return with_own(inside, 0);
    case BY_RENAME:
        return with_own(inside, 1);
    case BY_LINK_IN:
        return with_own(outside, 0);
    default:
        return with_own(outside, 1);
    }
}

static void count_one(void)
{
    char text[16] = "";
    const int fd = open("count", O_RDWR);
    read(fd, text, sizeof text - 1);
    snprintf(text, sizeof text, "%d", atoi(text) + 1);
    pwrite(fd, text, strlen(text), 0);
    close(fd);
}

static void contend(enum way way, int number, int results)
{
    char inside[32], outside[32];
    int wins = 0;
    snprintf(inside, sizeof inside, "own%d", number);
    snprintf(outside, sizeof outside, "../src/own%d", number);
    for (int round = 0; round < ROUNDS; round++) {
        if (take(way, inside, outside) != 0) {
            if (errno != (way == BY_OPEN ? EBADF : EEXIST))
                say("take", -1);
            sched_yield();
            continue;
        }
        count_one();
        wins++;
        if (remove("lock") != 0)
            say("remove", -1);
    }
    write(results, &wins, sizeof wins);
    _exit(0);
}

static void contest(enum way way)
{
    int results[2], total = 0, wins;
    char text[16] = "";
    pipe(results);
    write_file("count", "0");
    fflush(stdout);
    for (int number = 0; number < PROCESSES; number++)
        if (fork() == 0)
            contend(way, number, results[1]);
    for (int number = 0; number < PROCESSES; number++)
        total += read(results[0], &wins, sizeof wins) == sizeof wins ? wins : 0;
    while (wait(NULL) > 0) {
    }
    const int fd = open("count", O_RDONLY);
    read(fd, text, sizeof text - 1);
    close(fd);
    printf("%s: %s\n", ways[way], atoi(text) == total && total > 0 ? "exact" : "not exact");
    unlink("count");
    close(results[0]);
    close(results[1]);
}

static volatile int stop, wrong;

static void *list(void *nothing)
{
    while (!stop) {
        int moving = 0, staying = 0;
        DIR *directory = opendir("l");
        for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
            moving += strcmp(entry->d_name, "x") == 0;
            staying += strcmp(entry->d_name, "stays") == 0;
        }
        closedir(directory);
        wrong += moving > 1 || staying != 1;
    }
    return nothing;
}

static void *stand(void *nothing)
{
    char path[4096];
    struct stat stat_of;
    while (!stop) {
        const char *last = getcwd(path, sizeof path) == NULL ? "" : strrchr(path, '/');
        wrong += strcmp(last, "/deep") != 0;
        wrong += stat("file", &stat_of) != 0 || access("../deep/file", F_OK) != 0;
    }
    return nothing;
}

static void watch_by(void *(*body)(void *), const char *name, int deep)
{
    pthread_t thread;
    stop = wrong = 0;
    pthread_create(&thread, NULL, body, NULL);
    for (int i = 0; i < RENAMES; i++) {
        if (deep) {
            rename("../../q", "../../r");
            rename("../../r", "../../q");
        } else {
            const char *from = i % 2 != 0 ? "l/t" : "../src/t";
            close(creat(from, 0600));
            rename(from, "l/x");
        }
    }
    stop = 1;
    pthread_join(thread, NULL);
    printf("%s: %d wrong\n", name, wrong);
}

int main(void)
{
    for (enum way way = 0; way < WAYS; way++)
        contest(way);
    mkdir("l", 0700);
    write_file("l/stays", "");
    watch_by(list, "list", 0);
    mkdir("p", 0700);
    mkdir("p/q", 0700);
    mkdir("p/q/deep", 0700);
    write_file("p/q/deep/file", "");
    chdir("p/q/deep");
    watch_by(stand, "stand", 1);
    return 0;
}
