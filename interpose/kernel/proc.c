/* proc.c - a thread's state, parent and start, from /proc/<tid>/stat.  See proc.h. */
#include "proc.h"

#include "os.h"
#include "text.h"

uint64_t velo_boottime_ns(void)
{
    return (uint64_t)velo_clock_ns(CLOCK_BOOTTIME);
}

/* The text of /proc/<tid>/stat; its length, or -errno. */
static long stat_text(uint32_t tid, char *text, size_t size)
{
    char path[32] = "/proc/";
    strcpy(path + 6 + velo_write_decimal(path + 6, tid), "/stat");
    const long got = velo_os_read_text(path, text, size);
    return got == 0 ? -ESRCH : got;
}

/* The number in `field` of such a text, counted from 1 as in proc(5); `at` is where the name ends. */
static uint64_t field_of(const char *text, long at, long end, unsigned field)
{
    for (unsigned seen = 2; at < end && seen < field; at++)
        seen += text[at] == ' ';
    return velo_read_decimal(text + at);
}

int velo_thread_probe(uint32_t tid, struct velo_thread *out)
{
    char text[512];
    const long got = stat_text(tid, text, sizeof text);
    if (got < 0)
        return (int)got;
    long at = got;
    while (at > 0 && text[at - 1] != ')') /* the name may hold anything; the last ')' ends it */
        at--;
    if (at == 0 || at + 1 >= got)
        return -EIO;
    out->state = text[at + 1];
    out->parent = (uint32_t)field_of(text, at, got, 4);
    out->start_ns = field_of(text, at, got, 22) * VELO_NS_PER_TICK;
    return 0;
}

int velo_thread_dead(uint32_t tid, uint64_t since_ns)
{
    if (velo_sys2(SYS_kill, (long)tid, 0) == -ESRCH)
        return 1;
    struct velo_thread thread;
    const int rc = velo_thread_probe(tid, &thread);
    if (rc == -ESRCH || rc == -ENOENT)
        return velo_sys2(SYS_kill, (long)tid, 0) == -ESRCH;
    if (rc < 0)
        return 0;
    if (thread.state == 'Z' || thread.state == 'X')
        return 1;
    return since_ns != 0 && thread.start_ns > since_ns + VELO_NS_PER_TICK;
}
