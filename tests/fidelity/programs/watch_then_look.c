/* Who hears of a change looks at once: what was announced as made is there, what was announced as
 * removed is gone, a mode that was announced is the new one. */
#include <pthread.h>
#include <sys/inotify.h>

#include "say.h"

#define ROUNDS 300

static int queue, wrong[8];
static volatile int heard;
static const char *const kinds[8] = {"open",   "mknod", "mkdir", "symlink",
                                     "rename", "link",  "mode",  "removal"};

static void judge(const struct inotify_event *event)
{
    char path[300];
    struct stat stat;
    snprintf(path, sizeof path, "w/%s", event->name);
    const int there = lstat(path, &stat) == 0;
    const int kind = event->name[0] - '0';
    if ((event->mask & (IN_CREATE | IN_MOVED_TO)) != 0 && !there)
        wrong[kind]++;
    if ((event->mask & IN_DELETE) != 0 && there)
        wrong[7]++;
    if ((event->mask & IN_ATTRIB) != 0 && there && (stat.st_mode & 07777) != 0751)
        wrong[6]++;
    heard = (int)event->mask & 0xfff;
}

static void *listen(void *nothing)
{
    char buffer[4096] __attribute__((aligned(8)));
    for (ssize_t got; (got = read(queue, buffer, sizeof buffer)) > 0;)
        for (ssize_t at = 0; at < got;) {
            const struct inotify_event *event = (const void *)(buffer + at);
            at += (ssize_t)(sizeof *event + event->len);
            if (event->len != 0)
                judge(event);
        }
    return nothing;
}

static void wait_for(int mask)
{
    while ((heard & mask) == 0)
        sched_yield();
    heard = 0;
}

static void make(int kind, const char *path)
{
    switch (kind) {
    case 0:
        close(open(path, O_CREAT | O_EXCL | O_WRONLY, 0600));
        break;
    case 1:
        mknod(path, S_IFREG | 0600, 0);
        break;
    case 2:
        mkdir(path, 0700);
        break;
    case 3:
        symlink("a", path);
        break;
    case 4:
        close(creat("made", 0600)), rename("made", path);
        break;
    default:
        link("../src/plain", path);
        break;
    }
}

int main(void)
{
    char path[16];
    pthread_t thread;
    mkdir("w", 0755);
    close(creat("../src/plain", 0600));
    queue = inotify_init1(IN_CLOEXEC);
    SAY(inotify_add_watch(queue, "w", IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_ATTRIB));
    pthread_create(&thread, NULL, listen, NULL);
    for (int round = 0; round < ROUNDS; round++)
        for (int kind = 0; kind < 6; kind++) {
            snprintf(path, sizeof path, "w/%d", kind);
            heard = 0;
            make(kind, path);
            wait_for(IN_CREATE | IN_MOVED_TO);
            if (kind < 3) {
                chmod(path, 0751);
                wait_for(IN_ATTRIB);
            }
            remove(path);
            wait_for(IN_DELETE);
        }
    for (int kind = 0; kind < 8; kind++)
        printf("%s: %d\n", kinds[kind], wrong[kind]);
    unlink("../src/plain");
    return 0;
}
