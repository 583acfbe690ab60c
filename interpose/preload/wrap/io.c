/* io.c - writes: the kernel makes them, and we charge the space that they take.
 *
 * A descriptor that was opened for writing on a hosted file has a write credit: how many bytes may
 * still be written before its file has to be charged for more. Other descriptors pay for one load. */
#include <pthread.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>

#include "kernel/os.h"
#include "preload/path/claim.h"
#include "preload/write/credit.h"
#include "preload/write/far.h"
#include "preload/base/raw.h"
#include "preload/replay/printed.h"
#include "preload/replay/said.h"
#include "io.h"

#define ACROSS_BYTES (1u << 20) /* at most so much a call: it may copy less than it was asked to */

static inline void charge(int fd, size_t count, off_t offset)
{
    if (__builtin_expect(velo_write_credit(fd) != 0, 0))
        velo_write_credit_charge_at(fd, count, offset);
}

/* True: such a write begins where the disk has no more, and is refused in its place (far.h). */
static bool is_too_far(int fd, size_t count, off_t offset)
{
    return __builtin_expect(offset > VELO_FAR_BYTES, 0) && count != 0 &&
           (velo_sys3(SYS_fcntl, fd, F_GETFL, 0) & O_APPEND) == 0 && /* else it goes to the end */
           offset >= velo_longest_by(fd, offset);
}

/* The same of a write where the descriptor stands. */
static inline bool stands_too_far(int fd)
{
    return __builtin_expect(atomic_load_explicit(&velo_stands_far, memory_order_relaxed), 0) &&
           is_too_far(fd, 1, velo_sys3(SYS_lseek, fd, 0, SEEK_CUR));
}

static size_t total(const struct iovec *pieces, int count)
{
    size_t sum = 0;
    for (int i = 0; i < count && i < 1024 && !velo_cannot_read(&pieces[i], sizeof *pieces); i++)
        sum += pieces[i].iov_len;
    return sum;
}

static inline void charge_pieces(int fd, const struct iovec *pieces, int count, off_t offset)
{
    if (velo_write_credit(fd) != 0)
        velo_write_credit_charge_at(fd, total(pieces, count), offset);
}

/* ---- writing --------------------------------------------------------------------------------- */

static bool hosted(int fd)
{
    struct stat stat;
    return velo_here() != NULL && raw_fstat(fd, &stat) == 0 && S_ISREG(stat.st_mode) &&
           velo_is_node(velo_node_of(velo_here(), &stat));
}

/* A file system that fills up takes a part of a write; a program that never met a full disk may not write the rest. */
static bool cut_short(int fd, size_t count, ssize_t done)
{
    return __builtin_expect(done > 0 && (size_t)done < count, 0) && velo_write_credit(fd) != 0 &&
           hosted(fd) && velo_is_full(velo_here());
}

EXPORT ssize_t write(int fd, const void *bytes, size_t count)
{
    if (stands_too_far(fd) && count != 0)
        return velo_answer(-EFBIG);
    charge(fd, count, VELO_AT_THE_END);
    const unsigned stream = velo_unit_says(fd);
    const ssize_t done = WRITING(fd, count, NEXT(write)(fd, bytes, count));
    velo_unit_said(stream, &(struct iovec){(void *)(uintptr_t)bytes, count}, done);
    if (!cut_short(fd, count, done))
        return done;
    const ssize_t more = write(fd, (const char *)bytes + done, count - (size_t)done);
    return more < 0 ? done : done + more;
}
ALIAS(__write, write);

EXPORT ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset)
{
    if (is_too_far(fd, count, offset))
        return velo_answer(-EFBIG);
    charge(fd, count, offset);
    velo_unit_wrote(fd);
    const ssize_t done = WRITING(fd, count, NEXT(pwrite)(fd, bytes, count, offset));
    if (!cut_short(fd, count, done))
        return done;
    const ssize_t more =
        pwrite(fd, (const char *)bytes + done, count - (size_t)done, offset + done);
    return more < 0 ? done : done + more;
}
ALIAS(pwrite64, pwrite);
ALIAS(__pwrite64, pwrite);

EXPORT ssize_t writev(int fd, const struct iovec *pieces, int count)
{
    if (stands_too_far(fd) && total(pieces, count) != 0)
        return velo_answer(-EFBIG);
    charge_pieces(fd, pieces, count, VELO_AT_THE_END);
    const unsigned stream = velo_unit_says(fd);
    const ssize_t done = WRITING(fd, total(pieces, count), NEXT(writev)(fd, pieces, count));
    velo_unit_said(stream, pieces, done);
    return done;
}

EXPORT ssize_t pwritev(int fd, const struct iovec *pieces, int count, off_t offset)
{
    if (offset > VELO_FAR_BYTES && is_too_far(fd, total(pieces, count), offset))
        return velo_answer(-EFBIG);
    charge_pieces(fd, pieces, count, offset);
    velo_unit_wrote(fd);
    return WRITING(fd, total(pieces, count), NEXT(pwritev)(fd, pieces, count, offset));
}
ALIAS(pwritev64, pwritev);

/* Flags that disks know and tmpfs does not; in memory nothing waits, and nothing is cached twice. */
#define VELO_RWF_DONTCACHE 0x80 /* Linux 6.14 */
#define FOR_READING (RWF_NOWAIT | VELO_RWF_DONTCACHE)
#define FOR_WRITING VELO_RWF_DONTCACHE /* most refuse to write without waiting */

/* True: it was refused for such flags alone, which a disk's file would have taken. */
static bool again_without(int flags, ssize_t done, int fd)
{
    return done < 0 && errno == EOPNOTSUPP && flags != 0 && hosted(fd);
}

EXPORT ssize_t pwritev2(int fd, const struct iovec *pieces, int count, off_t offset, int flags)
{
    if (offset > VELO_FAR_BYTES && (flags & RWF_APPEND) == 0 &&
        is_too_far(fd, total(pieces, count), offset))
        return velo_answer(-EFBIG);
    charge_pieces(fd, pieces, count, offset);
    velo_unit_wrote(fd);
    const int saved = errno;
    const size_t bytes = total(pieces, count);
    const ssize_t done = WRITING(fd, bytes, NEXT(pwritev2)(fd, pieces, count, offset, flags));
    if (!again_without(flags & FOR_WRITING, done, fd))
        return done;
    errno = saved;
    return WRITING(fd, bytes, NEXT(pwritev2)(fd, pieces, count, offset, flags & ~FOR_WRITING));
}
ALIAS(pwritev64v2, pwritev2);

EXPORT ssize_t preadv2(int fd, const struct iovec *pieces, int count, off_t offset, int flags)
{
    const int saved = errno;
    const ssize_t done = NEXT(preadv2)(fd, pieces, count, offset, flags);
    if (!again_without(flags & FOR_READING, done, fd))
        return done;
    errno = saved;
    return NEXT(preadv2)(fd, pieces, count, offset, flags & ~FOR_READING);
}
ALIAS(preadv64v2, preadv2);

/* ---- copying inside the kernel --------------------------------------------------------------- */

/* True: the copy goes to where the disk has no more. */
static bool copies_too_far(int to, const off_t *to_at, size_t count)
{
    return to_at != NULL && !velo_cannot_read(to_at, sizeof *to_at) &&
           is_too_far(to, count, *to_at);
}

/* Callers ask for "as much as there is", and once more at the end: what there is, is the rest of the
 * source. */
static void charge_copy(int to, const off_t *to_at, int from, const off_t *from_at, size_t count)
{
    struct stat source;
    if (velo_write_credit(to) == 0)
        return;
    if (raw_fstat(from, &source) == 0 && S_ISREG(source.st_mode)) {
        const off_t at = velo_cannot_read(from_at, sizeof *from_at)
                             ? velo_sys3(SYS_lseek, from, 0, SEEK_CUR)
                             : *from_at;
        const off_t left = source.st_size - at;
        if (left <= 0)
            return;
        count = count < (size_t)left ? count : (size_t)left;
    }
    velo_write_credit_charge_at(to, count < 1ul << 40 ? count : 1u << 16,
                                velo_cannot_read(to_at, sizeof *to_at) ? VELO_AT_THE_END : *to_at);
}

/* From memory to a disk or back: two file systems to the kernel, one to the program. */
static long copy_across(int from, off_t *from_at, int to, off_t *to_at, size_t count)
{
    const off_t read_at = from_at != NULL ? *from_at : velo_sys3(SYS_lseek, from, 0, SEEK_CUR);
    const off_t write_at = to_at != NULL ? *to_at : velo_sys3(SYS_lseek, to, 0, SEEK_CUR);
    void *buffer = velo_os_memory(ACROSS_BYTES);
    if (buffer == NULL)
        return -ENOMEM;
    const size_t most = count < ACROSS_BYTES ? count : ACROSS_BYTES;
    long got = velo_sys4(SYS_pread64, from, velo_word(buffer), most, read_at);
    if (got > 0)
        got = velo_sys4(SYS_pwrite64, to, velo_word(buffer), got, write_at);
    velo_os_unmap(buffer, ACROSS_BYTES);
    if (got <= 0)
        return got;
    if (from_at != NULL)
        *from_at += got;
    else
        velo_sys3(SYS_lseek, from, read_at + got, SEEK_SET);
    if (to_at != NULL)
        *to_at += got;
    else
        velo_sys3(SYS_lseek, to, write_at + got, SEEK_SET);
    return got;
}

EXPORT ssize_t copy_file_range(int from, off_t *from_at, int to, off_t *to_at, size_t count,
                               unsigned flags)
{
    if (copies_too_far(to, to_at, count))
        return velo_answer(-EFBIG);
    charge_copy(to, to_at, from, from_at, count);
    velo_unit_reads(from);
    velo_unit_wrote(to);
    const int saved = errno;
    const ssize_t done =
        WRITING(to, count, NEXT(copy_file_range)(from, from_at, to, to_at, count, flags));
    if (done >= 0 || errno != EXDEV || !(hosted(from) || hosted(to)))
        return done;
    errno = saved;
    return WRITING(to, ACROSS_BYTES, velo_answer(copy_across(from, from_at, to, to_at, count)));
}

EXPORT ssize_t sendfile(int to, int from, off_t *offset, size_t count)
{
    charge_copy(to, NULL, from, offset, count);
    velo_unit_reads(from);
    velo_unit_wrote(to);
    return WRITING(to, count,
                   velo_answer(velo_sys4(SYS_sendfile, to, from, velo_word(offset), count)));
}
ALIAS(sendfile64, sendfile);

EXPORT ssize_t splice(int from, off_t *from_at, int to, off_t *to_at, size_t count, unsigned flags)
{
    if (copies_too_far(to, to_at, count))
        return velo_answer(-EFBIG);
    charge_copy(to, to_at, from, from_at, count < 1u << 20 ? count : 1u << 20);
    velo_unit_reads(from);
    velo_unit_wrote(to);
    return WRITING(to, count, NEXT(splice)(from, from_at, to, to_at, count, flags));
}

/* ---- where few disks have files -------------------------------------------------------------- */

static off_t after_seek(int fd, off_t offset, int whence)
{
    struct stat stat;
    off_t from = 0, to;
    if (whence == SEEK_CUR)
        from = velo_sys3(SYS_lseek, fd, 0, SEEK_CUR);
    else if (whence == SEEK_END && raw_fstat(fd, &stat) == 0)
        from = stat.st_size;
    else if (whence != SEEK_SET)
        return 0;
    return from < 0 || __builtin_add_overflow(from, offset, &to) ? INT64_MAX : to;
}

int velo_seeks_far(int fd, off_t offset, int whence)
{
    const off_t to = after_seek(fd, offset, whence);
    return to > velo_longest(fd, to) ? -EINVAL : 0;
}

EXPORT off_t lseek(int fd, off_t offset, int whence)
{
    if (__builtin_expect(offset > VELO_FAR_STEP_BYTES, 0) &&
        velo_seeks_far(fd, offset, whence) != 0)
        return velo_answer(-EINVAL);
    return velo_answer(velo_sys3(SYS_lseek, fd, offset, whence));
}
ALIAS(lseek64, lseek);
ALIAS(__lseek, lseek);

/* ---- hints follow descriptors where that is cheap -------------------------------------------- */

long velo_inherits_credit(int fd, long duplicate)
{
    if (duplicate >= 0) {
        velo_write_credit_set((int)duplicate, velo_write_credit(fd) == 0 ? 0 : 1);
        velo_lock_set_plain((int)duplicate, 0);
        velo_unit_moved((int)duplicate);
    }
    return duplicate;
}

EXPORT int dup(int fd)
{
    return (int)velo_answer(velo_inherits_credit(fd, velo_sys1(SYS_dup, fd)));
}

/* A file that was open to be written when an opaque program started is put now, so that the program sees it. */
velo_node_id velo_closing(int fd)
{
    struct velo_region *region = velo_write_credit(fd) != 0 ? velo_here() : NULL;
    return region != NULL && velo_opaque_runs(region) ? velo_node_of_fd(region, fd) : VELO_NO_NODE;
}

void velo_closed(velo_node_id node)
{
    if (velo_is_node(node))
        velo_writeback(&velo_the_region, node, 0);
}

static long duplicated(int fd, long to, velo_node_id closed)
{
    velo_inherits_credit(fd, to);
    velo_closed(closed);
    return velo_answer(to);
}

EXPORT int dup3(int fd, int to, int flags)
{
    velo_unit_moves(to);
    const velo_node_id closed = velo_closing(to);
    return (int)duplicated(fd, velo_sys3(SYS_dup3, fd, to, flags), closed);
}

#ifdef SYS_dup2
static long duplicate_to(int fd, int to)
{
    return velo_sys2(SYS_dup2, fd, to);
}
#else
static long duplicate_to(int fd, int to)
{
    long rc = fd == to ? velo_sys3(SYS_fcntl, fd, F_GETFD, 0) : -EBUSY;
    if (fd == to)
        return rc < 0 ? rc : to;
    while (rc == -EBUSY)
        rc = velo_sys3(SYS_dup3, fd, to, 0);
    return rc;
}
#endif

EXPORT int dup2(int fd, int to)
{
    velo_unit_moves(to);
    const velo_node_id closed = fd == to ? VELO_NO_NODE : velo_closing(to);
    return (int)duplicated(fd, duplicate_to(fd, to), closed);
}
ALIAS(__dup2, dup2);

EXPORT int close(int fd)
{
    velo_unit_moves(fd);
    const velo_node_id node = velo_closing(fd);
    velo_write_credit_set(fd, 0);
    const int rc = NEXT(close)(fd);
    velo_closed(node);
    return rc;
}
ALIAS(__close, close);

/* Of those that are hinted; a handful at a time. */
#define CLOSED_AT_ONCE 16

static int close_with_credit(unsigned first, unsigned last)
{
    velo_node_id nodes[CLOSED_AT_ONCE];
    int count = 0;
    for (unsigned fd = first; fd <= last && fd < VELO_WRITE_CREDITS_MAX && count < CLOSED_AT_ONCE;
         fd++) {
        nodes[count] = velo_closing((int)fd);
        if (!velo_is_node(nodes[count]))
            continue;
        count++;
        raw_close((int)fd);
        velo_write_credit_set((int)fd, 0);
    }
    for (int i = 0; i < count; i++)
        velo_closed(nodes[i]);
    return count;
}

static bool opaque_runs(void)
{
    return velo_here() != NULL && velo_opaque_runs(velo_here());
}

static void moves_from(unsigned first)
{
    for (unsigned fd = first; fd <= 2; fd++)
        velo_unit_moves((int)fd);
}

EXPORT int close_range(unsigned first, unsigned last, int flags)
{
    moves_from(first);
    if (flags == 0 && first <= last && opaque_runs())
        while (close_with_credit(first, last) == CLOSED_AT_ONCE) {
        }
    return (int)velo_answer(velo_sys3(SYS_close_range, first, last, flags));
}

EXPORT void closefrom(int first)
{
    moves_from(first < 0 ? 0 : (unsigned)first);
    if (opaque_runs())
        while (close_with_credit(first < 0 ? 0 : (unsigned)first, VELO_WRITE_CREDITS_MAX) ==
               CLOSED_AT_ONCE) {
        }
    if (NEXT(closefrom) != NULL)
        NEXT(closefrom)(first);
    else
        velo_sys3(SYS_close_range, first < 0 ? 0 : first, UINT32_MAX, 0);
}

/* Descriptors that we were started with may be hosted: the shell's redirections. A wrong guess costs one fstat at
 * the first write. */
__attribute__((constructor(102))) static void credit_inherited(void)
{
    if (velo_here() != NULL)
        for (int fd = 1; fd <= 2; fd++)
            velo_write_credit_set(fd, 1);
}
