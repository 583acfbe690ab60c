/* inotify: what other programs do in a watched directory is announced as it comes. */
#include <poll.h>
#include <sys/inotify.h>

#include "say.h"

enum { EVENTS = IN_CREATE | IN_DELETE | IN_MOVE | IN_CLOSE_WRITE | IN_ATTRIB };

static int by_text(const void *left, const void *right)
{
    return strcmp(left, right);
}

/* All events up to the name `end`, each once, in sorted order: how often a shell writes is its own
 * business. sed and others use names of their own, of which only the start is told. */
static void show_events(int fd, const char *end)
{
    static char lines[512][64];
    _Alignas(8) char room[8192];
    size_t count = 0;
    for (bool ended = false; !ended;) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        if (poll(&ready, 1, 20000) != 1) {
            printf("no %s\n", end);
            break;
        }
        const ssize_t got = read(fd, room, sizeof room);
        for (ssize_t at = 0; at < got;) {
            const struct inotify_event *event = (const void *)(room + at);
            at += (ssize_t)sizeof *event + event->len;
            const char *name = event->len > 0 ? event->name : "";
            ended |= strcmp(name, end) == 0;
            snprintf(lines[count++ % 512], 64, "%d %x %.*s", event->wd, event->mask,
                     strncmp(name, "sed", 3) == 0 ? 3 : 40, name);
        }
    }
    qsort(lines, count < 512 ? count : 512, 64, by_text);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || strcmp(lines[i], lines[i - 1]) != 0)
            puts(lines[i]);
    memset(lines, 0, sizeof lines);
    fflush(stdout);
}

static void run(const char *command)
{
    printf("$ %s\n", command);
    fflush(stdout);
    SAY(system(command));
}

int main(void)
{
    int fd;
    write_file("before", "text\n");
    mkdir("d", 0755);
    write_file("d/x", "x\n");
    SAY_OPEN(fd, inotify_init1(IN_CLOEXEC));
    SAY(inotify_add_watch(fd, ".", EVENTS));
    SAY(inotify_add_watch(fd, "d", EVENTS));
    run("echo one > a; echo two >> a; echo end1 > end1");
    show_events(fd, "end1");
    run("cp before copy; mv copy d/moved; mv d/x .; sed -i s/one/1/ a; echo > d/end2");
    show_events(fd, "end2");
    run("ln a hard; ln -s a soft; rm a; chmod 600 hard; touch -d '2001-01-01' hard; mkdir sub; : > "
        "end3");
    show_events(fd, "end3");
    run("cat old/a > before; dd if=old/b of=before conv=notrunc status=none; rm -r d; : > end4");
    show_events(fd, "end4");
    run("tar -cf t.tar old; tar -xf t.tar --one-top-level=sub; cat sub/old/a before hard; rm "
        "t.tar; : > end5");
    show_events(fd, "end5");
    SAY(inotify_add_watch(fd, "old/a", IN_MODIFY | IN_CLOSE_WRITE));
    run("echo more >> old/a; : > end6");
    show_events(fd, "end6");
    close(fd);
    write_file("after", "written\n");
    show_file("after");
    return 0;
}
