/* locks.c - locks that this process has, as the kernel tells of a descriptor, and taking them again.
 *
 * A process that locked a file in memory before it could be led to the disk keeps the lock there. A lock
 * that a program outside took meanwhile wins, and ours is lost: that is counted. */
#include "locks.h"

#include <sys/file.h>

#include "kernel/os.h"
#include "kernel/text.h"
#include "preload/base/raw.h"

static const char *next_word(const char *at)
{
    while (*at != ' ' && *at != 0)
        at++;
    while (*at == ' ')
        at++;
    return at;
}

/* "1: POSIX  ADVISORY  WRITE 77 00:1a:567 0 EOF", after its "lock:". False: of a kind that stays. */
static bool parse(const char *line, struct velo_locks *out)
{
    const char *kind = next_word(line), *mode = next_word(next_word(kind));
    const char *start = next_word(next_word(next_word(mode))), *end = next_word(start);
    struct flock *range = &out->all[out->count].range;
    *range = (struct flock){.l_type = mode[0] == 'W' ? F_WRLCK : F_RDLCK,
                            .l_whence = SEEK_SET,
                            .l_start = (off_t)velo_read_decimal(start)};
    range->l_len = *end == 'E' ? 0 : (off_t)velo_read_decimal(end) - range->l_start + 1;
    out->all[out->count].kind = kind[0] == 'F'   ? VELO_LOCK_FLOCK
                                : kind[0] == 'O' ? VELO_LOCK_OFD
                                                 : VELO_LOCK_POSIX;
    return kind[0] == 'F' || kind[0] == 'O' || kind[0] == 'P';
}

bool velo_locks_of(int fd, char *text, size_t size, struct velo_locks *out)
{
    char path[18 + VELO_DECIMAL_MAX] = "/proc/self/fdinfo/";
    out->count = 0;
    velo_write_decimal(path + 18, (uint64_t)fd);
    const long have = velo_os_read_text(path, text, size);
    if (have < 0 || (size_t)have + 1 >= size)
        return false;
    for (char *at = text, *end; (at = strstr(at, "lock:\t")) != NULL; at = end) {
        at += 6;
        end = strchrnul(at, '\n');
        end += *end != 0;
        if (out->count == VELO_LOCKS_MAX)
            return false;
        out->count += parse(at, out);
    }
    return true;
}

static long take(int fd, int kind, struct flock *range)
{
    if (kind != VELO_LOCK_FLOCK)
        return velo_sys3(SYS_fcntl, fd, kind == VELO_LOCK_OFD ? F_OFD_SETLK : F_SETLK,
                         velo_word(range));
    return velo_sys2(SYS_flock, fd, (range->l_type == F_WRLCK ? LOCK_EX : LOCK_SH) | LOCK_NB);
}

void velo_take_locks(int fd, const struct velo_locks *locks, bool open)
{
    for (unsigned i = 0; i < locks->count; i++) {
        struct flock range = locks->all[i].range;
        if ((locks->all[i].kind != VELO_LOCK_POSIX) == open &&
            take(fd, (int)locks->all[i].kind, &range) != 0)
            velo_escape(velo_here(), VELO_ESCAPE_PEER);
    }
}
