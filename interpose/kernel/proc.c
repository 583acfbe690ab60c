/* proc.c - a thread's state, parent and start, from /proc/<tid>/stat.  See proc.h. */
#include "proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <time.h>

#include "sys.h"

uint64_t velo_boottime_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static size_t write_decimal(char *out, uint32_t value)
{
    char digits[10];
    size_t count = 0;
    do
        digits[count++] = (char)('0' + value % 10);
    while ((value /= 10) != 0);
    for (size_t i = 0; i < count; i++)
        out[i] = digits[count - 1 - i];
    return count;
}

/* The text of /proc/<tid>/stat; its length, or -errno. */
static long stat_text(uint32_t tid, char *text, size_t size)
{
    char path[32] = "/proc/";
    size_t length = 6 + write_decimal(path + 6, tid);
    for (const char *tail = "/stat"; *tail != 0; tail++)
        path[length++] = *tail;
    path[length] = 0;
    const long fd = velo_sys4(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return fd;
    const long got = velo_sys3(SYS_read, fd, (long)text, (long)size);
    velo_sys1(SYS_close, fd);
    return got <= 0 ? -ESRCH : got;
}

/* The number in `field` of such a text, counted from 1 as in proc(5); `at` is where the name ends. */
static uint64_t field_of(const char *text, long at, long end, unsigned field)
{
    uint64_t value = 0;
    for (unsigned seen = 2; at < end && seen < field; at++)
        seen += text[at] == ' ';
    for (; at < end && text[at] >= '0' && text[at] <= '9'; at++)
        value = value * 10 + (uint64_t)(text[at] - '0');
    return value;
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
