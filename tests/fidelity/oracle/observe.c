/* observe.c - what is printed of a result, so that two native runs print the same.
 *
 * Left out, because the kernel's own answer varies or is the file system's private business:
 *   st_blocks                  delayed allocation: it changes when writeback gets to it
 *   st_size of a directory     grows by blocks, never shrinks, differs between file systems
 *   atime                      relatime with a coarse clock; `atime` asks for it, where it matters
 *   values of other times      shown as their relation to the last look at the same file:
 *                              * first look, = same, > later, < earlier, and ! when a change is
 *                              older than something that was seen before it happened */
#include "oracle.h"

#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#define SECOND 1000000000ll
#define SET_BY_HAND (1000000000ll * SECOND) /* scripts set times before 2001 */

void say(struct context *c, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const size_t room = sizeof c->text - c->used;
    const int length = vsnprintf(c->text + c->used, room, format, arguments);
    va_end(arguments);
    if (length > 0)
        c->used += (size_t)length < room ? (size_t)length : room - 1;
}

void say_result(struct context *c, long result)
{
    if (result < 0)
        say(c, " %s", error_name(errno));
    else
        say(c, " %ld", result);
}

void say_fd(struct context *c, const char *word, int fd)
{
    const int slot = slot_of(word, SLOTS);
    if (fd < 0) {
        say_result(c, fd);
        return;
    }
    if (c->fds[slot] >= 0)
        close(c->fds[slot]);
    c->fds[slot] = fd;
    if (c->lane != NULL)
        say(c, " fd");
    else
        say(c, " fd%d", fd);
}

uint64_t hash_of(const void *data, size_t length)
{
    const unsigned char *bytes = data;
    uint64_t hash = 14695981039346656037ull;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ bytes[i]) * 1099511628211ull;
    return hash;
}

void say_data(struct context *c, const void *data, long length)
{
    say_result(c, length);
    if (length <= 0)
        return;
    say(c, " %016llx", (unsigned long long)hash_of(data, (size_t)length));
    const char *text = data;
    long plain = 0;
    while (plain < length && plain < 12 && text[plain] > ' ' && text[plain] < 127)
        plain++;
    say(c, " %.*s", (int)plain, text);
}

/* How much of `text` is `prefix`: all of it or nothing. */
static size_t matching(const char *prefix, const char *text, size_t length)
{
    const size_t size = strlen(prefix);
    return size <= length && memcmp(text, prefix, size) == 0 ? size : 0;
}

void say_text(struct context *c, const char *text, size_t length)
{
    const char *const places[] = {shared->base, shared->outside, shared->above};
    say(c, " ");
    for (size_t i = 0; i < length;) {
        size_t known = 0, which = 0;
        while (which < 3 && (known = matching(places[which], text + i, length - i)) == 0)
            which++;
        if (known > 0) {
            say(c, "%c", "@^~"[which]);
            i += known;
        } else if (text[i] <= ' ' || text[i] > 126) {
            say(c, "%%%02x", (unsigned char)text[i++]);
        } else {
            size_t run = 1;
            while (run < 200 && i + run < length && text[i + run] > ' ' && text[i + run] < 127 &&
                   text[i + run] != '/')
                run++;
            say(c, "%.*s", (int)run, text + i);
            i += run;
        }
    }
}

/* ---- files ----------------------------------------------------------------------------------- */

char type_letter(mode_t mode)
{
    return S_ISREG(mode)    ? 'f'
           : S_ISDIR(mode)  ? 'd'
           : S_ISLNK(mode)  ? 'l'
           : S_ISFIFO(mode) ? 'p'
           : S_ISSOCK(mode) ? 's'
           : S_ISCHR(mode)  ? 'c'
           : S_ISBLK(mode)  ? 'b'
                            : '?';
}

static int64_t in_ns(const struct statx_timestamp *time)
{
    return time->tv_sec * SECOND + time->tv_nsec;
}

static int device_number(struct observed *o, int64_t device)
{
    for (uint32_t i = 0; i < o->device_count; i++)
        if (o->devices[i] == device)
            return (int)i;
    if (o->device_count == 8)
        return 8;
    o->devices[o->device_count] = device;
    return (int)o->device_count++;
}

static struct seen *find_seen(struct observed *o, const struct statx *st)
{
    const int64_t device = (int64_t)st->stx_dev_major << 32 | st->stx_dev_minor;
    for (uint32_t i = o->count; i-- > 0;)
        if (o->seen[i].inode == st->stx_ino && o->seen[i].device == device &&
            o->seen[i].birth_ns == in_ns(&st->stx_btime) && !o->seen[i].gone)
            return &o->seen[i];
    return NULL;
}

void see_anew(struct observed *o)
{
    for (uint32_t i = 0; i < o->count; i++)
        o->seen[i].gone = 1;
}

void before_removal(struct context *c, int dirfd, const char *path)
{
    struct statx st;
    c->doomed = NULL;
    if (path != NULL &&
        statx(dirfd, path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, &st) == 0 &&
        (S_ISDIR(st.stx_mode) || st.stx_nlink == 1))
        c->doomed = find_seen(c->observed, &st);
}

long after_removal(struct context *c, long result)
{
    if (result == 0 &&
        c->doomed != NULL) /* a file on disk may have another number then (docs/limits.md) */
        c->doomed->gone = 1;
    return result;
}

static uint32_t seen_number(struct observed *o, const struct statx *st, int64_t device, int *first)
{
    const struct seen *known = find_seen(o, st);
    *first = known == NULL;
    if (known != NULL)
        return (uint32_t)(known - o->seen);
    const uint32_t index = o->count < SEEN_MAX - 1 ? o->count++ : SEEN_MAX - 1;
    o->seen[index] =
        (struct seen){.inode = st->stx_ino, .device = device, .birth_ns = in_ns(&st->stx_btime)};
    return index;
}

static void say_time(struct context *c, char letter, int64_t now, int64_t *before, int first,
                     int64_t newest_then)
{
    if (now < SET_BY_HAND)
        say(c, " %c%lld.%09lld", letter, (long long)(now / SECOND), (long long)(now % SECOND));
    else if (!shared->with_times)
        say(c, " %c~", letter);
    else if (first)
        say(c, " %c*", letter);
    else if (now == *before)
        say(c, " %c=", letter);
    else
        say(c, " %c%c%s", letter, now > *before ? '>' : '<', now < newest_then ? "!" : "");
    *before = now;
}

static void say_times(struct context *c, const struct statx *st, uint32_t index, int first)
{
    struct observed *o = c->observed;
    struct seen *seen = &o->seen[index];
    const int64_t mtime = in_ns(&st->stx_mtime), ctime = in_ns(&st->stx_ctime);
    say_time(c, 'm', mtime, &seen->mtime_ns, first, seen->newest_ns);
    say_time(c, 'c', ctime, &seen->ctime_ns, first, seen->newest_ns);
    if (mtime > o->newest_ns)
        o->newest_ns = mtime;
    if (ctime > o->newest_ns)
        o->newest_ns = ctime;
    seen->newest_ns = o->newest_ns;
}

void say_statx(struct context *c, const struct statx *st, unsigned wanted)
{
    int first = 0;
    const int64_t device = (int64_t)st->stx_dev_major << 32 | st->stx_dev_minor;
    const uint32_t index = seen_number(c->observed, st, device, &first);
    /* A link in /proc has the rights of a descriptor of that number, as of the kernel's last look. */
    if (S_ISLNK(st->stx_mode) && (st->stx_mode & 07777) != 0777)
        say(c, " l/proc");
    else
        say(c, " %c%04o", type_letter(st->stx_mode), st->stx_mode & 07777);
    say(c, " n%u u%u g%u", st->stx_nlink, st->stx_uid, st->stx_gid);
    if (!S_ISDIR(st->stx_mode))
        say(c, " s%llu", (unsigned long long)st->stx_size);
    if (S_ISCHR(st->stx_mode) || S_ISBLK(st->stx_mode))
        say(c, " r%u:%u", st->stx_rdev_major, st->stx_rdev_minor);
    say(c, " i%u d%d k%u x%x", index, device_number(c->observed, device), st->stx_blksize,
        st->stx_mask & wanted);
    /* Of a pipe they are as coarse as the clock's tick; of a socket nobody sets them at its birth. */
    if (!S_ISFIFO(st->stx_mode) && !S_ISSOCK(st->stx_mode))
        say_times(c, st, index, first);
}

/* `st` as one call gave it; statx of the same file adds what tells reused inode numbers apart, and
 * must agree in everything else. */
void say_stat(struct context *c, const struct stat *st, int dirfd, const char *path, int flags)
{
    struct statx full;
    if (statx(dirfd, path, flags, STATX_BASIC_STATS | STATX_BTIME, &full) != 0) {
        say(c, " but statx says %s", error_name(errno));
        return;
    }
    say_statx(c, &full, STATX_BASIC_STATS);
    const int64_t mtime = st->st_mtim.tv_sec * SECOND + st->st_mtim.tv_nsec;
    const int64_t ctime = st->st_ctim.tv_sec * SECOND + st->st_ctim.tv_nsec;
    if (st->st_ino != full.stx_ino || st->st_mode != full.stx_mode ||
        st->st_nlink != full.stx_nlink || (uint64_t)st->st_size != full.stx_size ||
        st->st_uid != full.stx_uid || st->st_gid != full.stx_gid ||
        mtime != in_ns(&full.stx_mtime) || ctime != in_ns(&full.stx_ctime) ||
        (uint32_t)st->st_blksize != full.stx_blksize)
        say(c, " unlike statx");
}
