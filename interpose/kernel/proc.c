/* proc.c - a thread's state, parent and start, from /proc/<tid>/stat.  See proc.h. */
#include "proc.h"

#include <sys/sysmacros.h>

#include "os.h"
#include "text.h"

uint64_t velo_boottime_ns(void)
{
    return (uint64_t)velo_clock_ns(CLOCK_BOOTTIME);
}

/* The path of one of its files. */
static void path_of(char path[32], uint32_t tid, const char *tail)
{
    strcpy(path, "/proc/");
    strcpy(path + 6 + velo_write_decimal(path + 6, tid), tail);
}

/* The text of /proc/<tid>/stat; its length, or -errno. */
static long stat_text(uint32_t tid, char *text, size_t size)
{
    char path[32];
    path_of(path, tid, "/stat");
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

int velo_is_alone(void)
{
    struct stat stat;
    return velo_os_lstat("/proc/self/task", &stat) == 0 && stat.st_nlink == 3; /* ., .. and one */
}

/* A line is `from-to rights offset major:minor inode path`: its numbers, as far as it was read. */
struct map_line {
    unsigned field; /* from 0 */
    unsigned major, minor;
    uint64_t inode;
};

static void take_character(struct map_line *line, char c)
{
    const unsigned digit = (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
    if (c == '\n')
        *line = (struct map_line){0};
    else if (c == ' ')
        line->field++;
    else if (line->field == 3 && c == ':')
        line->major = line->minor, line->minor = 0;
    else if (line->field == 3)
        line->minor = line->minor * 16 + digit;
    else if (line->field == 4)
        line->inode = line->inode * 10 + digit;
}

int velo_thread_maps(uint32_t tid, uint64_t device, uint64_t inode)
{
    char text[1024];
    long got;
    int found = 0;
    struct map_line line = {0};
    char path[32];
    path_of(path, tid, "/maps");
    const int fd = velo_os_open(path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return 1;
    while (!found && (got = velo_sys3(SYS_read, fd, velo_word(text), sizeof text)) != 0) {
        for (long i = 0; i < got && !found; i++) {
            take_character(&line, text[i]);
            found =
                line.field == 5 && line.inode == inode && makedev(line.major, line.minor) == device;
        }
        found = found || got < 0;
    }
    velo_os_close(fd);
    return found;
}
