/* allocate.c - fallocate: space ahead of need, and ranges zeroed, taken out and put in.
 *
 * In memory tmpfs allocates and punches holes itself. What it does not know, the disk under the
 * hosted directory may: a nameless file of the same length there is asked first, so what is
 * supported, and which error comes before which, is the kernel's answer. Then the bytes are moved
 * here. Not as one step, as a disk's extents are: a program that reads meanwhile sees it half done, and
 * a process that is killed meanwhile leaves it half done (other signals wait).
 * Rejected: going on at the real path (relocate.c), where the kernel could do it at once. It needs
 * the only descriptor of a file with one name, and waits seconds to be sure of that. */
#include <linux/falloc.h>
#include <signal.h>
#include <sys/mman.h>

#include "kernel/os.h"
#include "preload/path/claim.h"
#include "preload/write/credit.h"
#include "preload/write/far.h"
#include "preload/base/raw.h"

#define BUFFER_BYTES (1u << 20)
#define ZEROES(mode) (((mode) & ~FALLOC_FL_KEEP_SIZE) == FALLOC_FL_ZERO_RANGE)
#define SHIFTS(mode) ((mode) == FALLOC_FL_COLLAPSE_RANGE || (mode) == FALLOC_FL_INSERT_RANGE)

static long raw_allocate(int fd, int mode, off_t offset, off_t length)
{
    return velo_sys4(SYS_fallocate, fd, mode, offset, length);
}

static long punch(int fd, off_t offset, off_t length)
{
    return raw_allocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
}

/* ---- what the disk would say ----------------------------------------------------------------- */

/* `*touched` when the call moved the file's times, which some file systems do before they refuse. */
static long ask(int fd, int mode, off_t offset, off_t length, off_t size, bool *touched)
{
    static const struct timespec long_ago[2] = {{1, 0}, {1, 0}};
    struct stat stat;
    if (ZEROES(mode)) /* takes space: whether it is known is all that we ask */
        return raw_allocate(fd, mode, 0, 1);
    long rc = velo_sys2(SYS_ftruncate, fd, size);
    if (rc == 0)
        rc = raw_utimens(fd, NULL, long_ago, 0);
    if (rc == 0) {
        rc = raw_allocate(fd, mode, offset, length);
        *touched = raw_fstat(fd, &stat) == 0 && stat.st_mtim.tv_sec != 1;
    }
    return rc;
}

static long ask_disk(struct velo_region *region, velo_node_id node, int mode, off_t offset,
                     off_t length, off_t size, bool *touched)
{
    const long fd = velo_tmpfile_above(region, node);
    if (fd < 0) /* nowhere to ask: today's disks zero, and moving needs to know their blocks */
        return ZEROES(mode) ? 0 : -EOPNOTSUPP;
    const long rc = ask((int)fd, mode, offset, length, size, touched);
    raw_close((int)fd);
    return rc;
}

/* ---- the same in memory ---------------------------------------------------------------------- */

/* Allocated first, so that a lack of space changes nothing, and again what the hole gave back. */
static long zero(int fd, int mode, off_t offset, off_t length)
{
    const int keeps = mode & FALLOC_FL_KEEP_SIZE;
    long rc = raw_allocate(fd, keeps, offset, length);
    if (rc == 0)
        rc = punch(fd, offset, length);
    return rc == 0 ? raw_allocate(fd, keeps, offset, length) : rc;
}

struct mover {
    int fd; /* reads and writes, at offsets of its own */
    unsigned char *buffer;
    off_t step; /* at most the way that bytes go: no piece overlaps where it goes to */
};

static long copy(const struct mover *m, off_t from, off_t to, off_t length)
{
    const long got = velo_sys4(SYS_pread64, m->fd, velo_word(m->buffer), length, from);
    if (got != length)
        return got < 0 ? got : -EIO;
    const long done = velo_sys4(SYS_pwrite64, m->fd, velo_word(m->buffer), length, to);
    return done == length ? 0 : done < 0 ? done : -ENOSPC;
}

/* Moves one piece, its holes as holes. */
static long move_piece(const struct mover *m, off_t from, off_t way, off_t length)
{
    const off_t end = from + length;
    long rc = 0;
    while (from < end && rc == 0) {
        off_t data = velo_sys3(SYS_lseek, m->fd, from, SEEK_DATA);
        if (data < 0 || data > end)
            data = end;
        if (data > from)
            rc = punch(m->fd, from + way, data - from);
        off_t hole = data < end ? velo_sys3(SYS_lseek, m->fd, data, SEEK_HOLE) : end;
        if (hole < 0 || hole > end)
            hole = end;
        if (rc == 0 && hole > data)
            rc = copy(m, data, data + way, hole - data);
        from = hole;
    }
    return rc;
}

/* Moves the bytes in [from, end) by `way` bytes up or down. */
static long move(const struct mover *m, off_t from, off_t end, off_t way)
{
    long rc = 0;
    while (from < end && rc == 0) {
        const off_t length = end - from < m->step ? end - from : m->step;
        rc = move_piece(m, way < 0 ? from : end - length, way, length);
        if (way < 0)
            from += length;
        else
            end -= length;
    }
    return rc;
}

static long collapse(const struct mover *m, off_t offset, off_t length, off_t size)
{
    const long rc = move(m, offset + length, size, -length);
    return rc == 0 ? velo_sys2(SYS_ftruncate, m->fd, size - length) : rc;
}

static long insert(const struct mover *m, off_t offset, off_t length, off_t size)
{
    long rc = velo_sys2(SYS_ftruncate, m->fd, size + length);
    if (rc == 0)
        rc = move(m, offset, size, length);
    return rc == 0 ? punch(m->fd, offset, length) : rc;
}

static long shift_with_buffer(int fd, int mode, off_t offset, off_t length, off_t size)
{
    struct mover m = {.fd = fd, .step = length < BUFFER_BYTES ? length : BUFFER_BYTES};
    uint64_t all = ~0ull, before = 0;
    m.buffer = velo_os_memory((size_t)m.step);
    if (m.buffer == NULL)
        return -ENOMEM;
    velo_sys4(SYS_rt_sigprocmask, SIG_BLOCK, velo_word(&all), velo_word(&before), sizeof all);
    const long rc = mode == FALLOC_FL_COLLAPSE_RANGE ? collapse(&m, offset, length, size)
                                                     : insert(&m, offset, length, size);
    velo_sys4(SYS_rt_sigprocmask, SIG_SETMASK, velo_word(&before), 0, sizeof before);
    velo_os_unmap(m.buffer, (size_t)m.step);
    return rc;
}

/* By a description of our own: the program's may append, or not read. */
static long shift(velo_node_id node, int mode, off_t offset, off_t length, off_t size)
{
    struct velo_region *region = velo_here();
    const int own = velo_reopen_in_memory(region, node, O_RDWR | O_NOATIME);
    if (own < 0)
        return -EOPNOTSUPP;
    const long rc = shift_with_buffer(own, mode, offset, length, size);
    raw_close(own);
    return rc;
}

/* ---- the call -------------------------------------------------------------------------------- */

/* The node of a file in memory, or none: another file system said that it cannot. */
static velo_node_id node_in_memory(int fd, struct stat *stat)
{
    struct velo_region *region = velo_here();
    if (region == NULL || raw_fstat(fd, stat) != 0 || !S_ISREG(stat->st_mode))
        return VELO_NO_NODE;
    const velo_node_id node = velo_node_of(region, stat);
    return velo_is_node(node) && velo_is_in_memory(region, node) ? node : VELO_NO_NODE;
}

/* tmpfs has looked at all arguments and does not know such a mode. */
static long instead_of_tmpfs(int fd, int mode, off_t offset, off_t length)
{
    struct stat stat;
    const velo_node_id node = node_in_memory(fd, &stat);
    if (!velo_is_node(node))
        return -EOPNOTSUPP;
    bool touched = false;
    const long rc = ask_disk(velo_here(), node, mode, offset, length, stat.st_size, &touched);
    if (rc != 0 && touched && punch(fd, stat.st_size, 1) == 0) /* changes nothing else */
        velo_descriptor_changed(velo_here(), fd, 0);
    if (rc != 0)
        return rc;
    if (mode == FALLOC_FL_INSERT_RANGE) {
        velo_write_credit_allocate(fd, (uint64_t)stat.st_size, (uint64_t)length);
        if (!velo_is_node(
                node_in_memory(fd, &stat))) /* there was no room: it goes on at its real path */
            return raw_allocate(fd, mode, offset, length);
    }
    return ZEROES(mode) ? zero(fd, mode, offset, length)
                        : shift(node, mode, offset, length, stat.st_size);
}

static void charge(int fd, int mode, off_t offset, off_t length)
{
    off_t end;
    if (velo_write_credit(fd) != 0 && offset >= 0 && length > 0 && !SHIFTS(mode) &&
        (mode & FALLOC_FL_PUNCH_HOLE) == 0 && !__builtin_add_overflow(offset, length, &end))
        velo_write_credit_allocate(fd, (uint64_t)offset, (uint64_t)length);
}

static long allocate(int fd, int mode, off_t offset, off_t length)
{
    struct velo_region *region = velo_here();
    off_t end;
    if (offset >= 0 && length > 0 && !__builtin_add_overflow(offset, length, &end) &&
        end > velo_longest_by(fd, end))
        return -EFBIG;
    charge(fd, mode, offset, length);
    const int hosted = region != NULL && velo_descriptor_changing(region, fd);
    long rc = raw_allocate(fd, mode, offset, length);
    if (rc == -ENOSPC && hosted && velo_find_room(fd, (size_t)length))
        rc = raw_allocate(fd, mode, offset, length);
    if (rc == -EOPNOTSUPP && hosted && (ZEROES(mode) || SHIFTS(mode)))
        rc = instead_of_tmpfs(fd, mode, offset, length);
    if (rc == 0 && hosted)
        velo_descriptor_changed(region, fd, 0);
    return rc;
}

EXPORT int fallocate(int fd, int mode, off_t offset, off_t length)
{
    return (int)velo_answer(allocate(fd, mode, offset, length));
}
ALIAS(fallocate64, fallocate);

/* Returns the error itself. Where the file system cannot, libc writes zeros. */
EXPORT int posix_fallocate(int fd, off_t offset, off_t length)
{
    if (velo_write_credit(fd) == 0 && offset <= VELO_FAR_BYTES && length <= VELO_FAR_BYTES)
        return NEXT(posix_fallocate)(fd, offset, length);
    if (offset < 0 || length <= 0)
        return EINVAL;
    const long rc = allocate(fd, 0, offset, length);
    return rc == -EOPNOTSUPP ? NEXT(posix_fallocate)(fd, offset, length) : (int)-rc;
}
ALIAS(posix_fallocate64, posix_fallocate);
