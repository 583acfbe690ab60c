/* visitors.c - processes that list or empty a directory at this moment.  See visitors.h.
 *
 * A lease would be better, but directories have none. */
#include "visitors.h"

#include <errno.h>
#include <string.h>
#include <sys/inotify.h>
#include <time.h>

#include "kernel/os.h"
#include "kernel/text.h"
#include "core/arena/layout.h"

#define REMOVED (IN_DELETE | IN_MOVED_FROM)
#define WATCHES (IN_OPEN | IN_ACCESS | IN_CLOSE_NOWRITE | IN_CREATE | REMOVED | IN_ONLYDIR)
#define VISIT_NS 1000000000 /* a visitor that stays longer and removes nothing does not mind */
#define QUIET_NS 100000000  /* between two names that go, on a busy disk */
#define WAIT_NS_MAX 20000000000
#define PAUSE_NS 2000000

static int64_t now_ns(void)
{
    return velo_clock_ns(CLOCK_MONOTONIC);
}

/* ---- watches --------------------------------------------------------------------------------- */

static int inotify_of(struct velo_visitors *visitors)
{
    const int known = atomic_load(&visitors->inotify);
    if (known != 0)
        return known - 1;
    const int fd = (int)velo_sys1(SYS_inotify_init1, IN_NONBLOCK | IN_CLOEXEC);
    if (fd >= 0)
        atomic_store(&visitors->inotify, fd + 1);
    return fd;
}

int velo_visitors_watch(struct velo_visitors *visitors, int fd)
{
    char path[21 + VELO_DECIMAL_MAX] = "/proc/thread-self/fd/";
    velo_write_decimal(path + 21, (uint64_t)fd);
    const int inotify = inotify_of(visitors);
    if (inotify < 0)
        return 0;
    const long watch = velo_sys3(SYS_inotify_add_watch, inotify, velo_word(path), WATCHES);
    return watch < 0 ? 0 : (int)watch;
}

void velo_visitors_unwatch(struct velo_visitors *visitors, int watch)
{
    const int known = atomic_load(&visitors->inotify);
    if (watch != 0 && known != 0)
        velo_sys2(SYS_inotify_rm_watch, known - 1, watch);
}

/* ---- what the kernel tells ------------------------------------------------------------------- */

static void comes(struct velo_visitors *visitors, int32_t watch)
{
    visitors->visit_ns = now_ns();
    if (visitors->visit_count < VELO_VISITS_MAX)
        visitors->visits[visitors->visit_count++] = watch;
}

/* All visits: of two visitors that close the directory one after the other the kernel tells once. A visit that never
 * ended would keep a flush waiting for VISIT_NS. */
static void goes(struct velo_visitors *visitors, int32_t watch)
{
    for (uint32_t i = 0; i < visitors->visit_count;) {
        if (visitors->visits[i] == watch)
            visitors->visits[i] = visitors->visits[--visitors->visit_count];
        else
            i++;
    }
}

/* Both a link and a read hold the directory's lock until the kernel has told of them, so their order is theirs.
 * A visitor that comes or reads after the link sees the name, and what goes then is what it read. */
static void hear_naming(struct velo_visitors *visitors, const struct inotify_event *event,
                        int is_removal)
{
    const int itself = event->len == 0;
    if (event->wd != visitors->naming)
        return;
    if (is_removal || (itself && (event->mask & IN_ACCESS) != 0 && !visitors->is_named))
        visitors->is_missed = 1;
    else if ((event->mask & IN_CREATE) != 0 && strcmp(event->name, visitors->name) == 0)
        visitors->is_named = 1;
    else if (itself && (event->mask & (IN_OPEN | IN_ACCESS)) != 0 && visitors->is_named)
        visitors->naming = 0;
}

static void hear(struct velo_visitors *visitors, const struct inotify_event *event)
{
    const int itself = event->len == 0;
    const int is_removal =
        (event->mask & REMOVED) != 0 && !velo_begins(event->name, VELO_TEMPORARY_PREFIX);
    if (visitors->naming != 0)
        hear_naming(visitors, event, is_removal);
    if ((event->mask & IN_Q_OVERFLOW) != 0)
        visitors->visit_count = 0;
    else if ((event->mask & IN_IGNORED) != 0)
        goes(visitors, event->wd);
    else if (is_removal)
        visitors->removal_ns = now_ns();
    else if (itself && (event->mask & IN_OPEN) != 0)
        comes(visitors, event->wd);
    else if (itself && (event->mask & IN_CLOSE_NOWRITE) != 0)
        goes(visitors, event->wd);
}

static void listen_to(struct velo_visitors *visitors, int inotify)
{
    _Alignas(struct inotify_event) char events[4096];
    for (long got; (got = velo_sys3(SYS_read, inotify, velo_word(events), sizeof events)) > 0;) {
        for (long at = 0; at < got;) {
            const struct inotify_event *event = (const void *)(events + at);
            hear(visitors, event);
            at += (long)(sizeof *event + event->len);
        }
        if (got < (long)(sizeof events / 2))
            return; /* that was all: one call for most files */
    }
}

/* ---- a flush --------------------------------------------------------------------------------- */

static int is_busy(const struct velo_visitors *visitors)
{
    if (visitors->visit_count == 0 && visitors->removal_ns == 0)
        return 0;
    const int64_t now = now_ns();
    const int64_t last =
        visitors->visit_ns > visitors->removal_ns ? visitors->visit_ns : visitors->removal_ns;
    return (visitors->visit_count != 0 && now - last < VISIT_NS) ||
           (visitors->removal_ns != 0 && now - visitors->removal_ns < QUIET_NS);
}

void velo_visitors_flush_begins(struct velo_visitors *visitors)
{
    visitors->waited_ns = 0;
}

static int are_seen(struct velo_visitors *visitors)
{
    const int inotify = atomic_load(&visitors->inotify) - 1;
    if (inotify < 0)
        return 0;
    listen_to(visitors, inotify);
    return visitors->waited_ns < WAIT_NS_MAX && is_busy(visitors);
}

void velo_visitors_wait(struct velo_visitors *visitors)
{
    while (are_seen(visitors)) {
        const int64_t began = now_ns();
        velo_os_pause(PAUSE_NS);
        visitors->waited_ns += now_ns() - began;
    }
}

int velo_visitors_naming(struct velo_visitors *visitors, int watch, const char *name)
{
    if (are_seen(visitors))
        return 1;
    visitors->naming = name == NULL ? 0 : watch;
    visitors->name = name;
    visitors->is_named = visitors->is_missed = 0;
    return 0;
}

int velo_visitors_missed(struct velo_visitors *visitors)
{
    const int seen = are_seen(visitors);
    visitors->naming = 0;
    return seen && visitors->is_missed;
}
