/* files.c - operations on descriptors: open, read, write, sizes, sync. */
#include "oracle.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static _Thread_local unsigned char data[DATA_MAX];

static size_t length_of(const char *word)
{
    const long length = number(word);
    return length < 0 ? 0 : length > DATA_MAX ? DATA_MAX : (size_t)length;
}

static void op_open(struct context *c, char **a)
{
    const int flags = (int)number(a[2]);
    say_fd(c, a[0], open(path_of(c, a[1]), flags, (mode_t)number(a[3])));
}

static void op_openat(struct context *c, char **a)
{
    const int flags = (int)number(a[3]);
    say_fd(c, a[0], openat(fd_of(c, a[1]), path_of(c, a[2]), flags, (mode_t)number(a[4])));
}

/* Without a mode, as most opens are written: with _FORTIFY_SOURCE this is __open_2. */
static void op_reopen(struct context *c, char **a)
{
    const int flags = (int)number(a[2]) & ~(O_CREAT | O_TMPFILE);
    say_fd(c, a[0], open(path_of(c, a[1]), flags));
}

static void op_creat(struct context *c, char **a)
{
    say_fd(c, a[0], creat(path_of(c, a[1]), (mode_t)number(a[2])));
}

/* EAGAIN: somewhere something was renamed while the path went up. */
static void op_openat2(struct context *c, char **a)
{
    const struct open_how how = {.flags = (uint64_t)number(a[3]),
                                 .mode = (uint64_t)number(a[4]),
                                 .resolve = (uint64_t)number(a[5])};
    const char *path = path_of(c, a[2]);
    int fd, tries = 100;
    do
        fd = (int)syscall(SYS_openat2, fd_of(c, a[1]), path, &how, sizeof how);
    while (fd < 0 && errno == EAGAIN && --tries > 0);
    say_fd(c, a[0], fd);
}

static void op_close(struct context *c, char **a)
{
    const int slot = slot_of(a[0], SLOTS);
    say_result(c, close(c->fds[slot]));
    c->fds[slot] = -1;
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static void op_read(struct context *c, char **a)
{
    const long got = read(fd_of(c, a[0]), data, length_of(a[1]));
    say_data(c, data, got);
}

static void op_pread(struct context *c, char **a)
{
    const long got = pread(fd_of(c, a[0]), data, length_of(a[1]), number(a[2]));
    say_data(c, data, got);
}

static struct iovec *halves(size_t length, struct iovec pair[2])
{
    pair[0] = (struct iovec){data, length / 2};
    pair[1] = (struct iovec){data + length / 2, length - length / 2};
    return pair;
}

static void op_readv(struct context *c, char **a)
{
    struct iovec pair[2];
    const long got = readv(fd_of(c, a[0]), halves(length_of(a[1]), pair), 2);
    say_data(c, data, got);
}

static void op_preadv2(struct context *c, char **a)
{
    struct iovec pair[2];
    const long got =
        preadv2(fd_of(c, a[0]), halves(length_of(a[1]), pair), 2, number(a[2]), (int)number(a[3]));
    say_data(c, data, got);
}

static size_t filled(const char *length, const char *seed)
{
    const size_t size = length_of(length);
    fill(data, size, (unsigned)number(seed));
    return size;
}

static void op_write(struct context *c, char **a)
{
    const size_t size = filled(a[1], a[2]);
    say_result(c, write(fd_of(c, a[0]), data, size));
}

static void op_pwrite(struct context *c, char **a)
{
    const size_t size = filled(a[1], a[2]);
    say_result(c, pwrite(fd_of(c, a[0]), data, size, number(a[3])));
}

static void op_writev(struct context *c, char **a)
{
    struct iovec pair[2];
    say_result(c, writev(fd_of(c, a[0]), halves(filled(a[1], a[2]), pair), 2));
}

static void op_pwritev2(struct context *c, char **a)
{
    struct iovec pair[2];
    say_result(c, pwritev2(fd_of(c, a[0]), halves(filled(a[1], a[2]), pair), 2, number(a[3]),
                           (int)number(a[4])));
}

static void op_dprintf(struct context *c, char **a)
{
    say_result(c, dprintf(fd_of(c, a[0]), "%s:%d\n", a[1], c->line));
}

static void op_lseek(struct context *c, char **a)
{
    const int fd = fd_of(c, a[0]);
    struct stat st;
    const off_t at = lseek(fd, number(a[1]), (int)number(a[2]));
    say_result(c, at);
    /* Where else than at a position that was told a directory goes on, no file system says. */
    if (at > 0 && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
        lseek(fd, 0, SEEK_SET);
}

/* ---- sizes ----------------------------------------------------------------------------------- */

static void op_truncate(struct context *c, char **a)
{
    say_result(c, truncate(path_of(c, a[0]), number(a[1])));
}

static void op_ftruncate(struct context *c, char **a)
{
    say_result(c, ftruncate(fd_of(c, a[0]), number(a[1])));
}

static void op_fallocate(struct context *c, char **a)
{
    say_result(c, fallocate(fd_of(c, a[0]), (int)number(a[1]), number(a[2]), number(a[3])));
}

static void op_posix_fallocate(struct context *c, char **a)
{
    errno = posix_fallocate(fd_of(c, a[0]), number(a[1]), number(a[2]));
    say_result(c, errno == 0 ? 0 : -1);
}

static void op_fsync(struct context *c, char **a)
{
    say_result(c, fsync(fd_of(c, a[0])));
}

static void op_fdatasync(struct context *c, char **a)
{
    say_result(c, fdatasync(fd_of(c, a[0])));
}

static void op_sync_file_range(struct context *c, char **a)
{
    say_result(c,
               sync_file_range(fd_of(c, a[0]), number(a[1]), number(a[2]), (unsigned)number(a[3])));
}

static void op_fadvise(struct context *c, char **a)
{
    errno = posix_fadvise(fd_of(c, a[0]), number(a[1]), number(a[2]), (int)number(a[3]));
    say_result(c, errno == 0 ? 0 : -1);
}

static void op_readahead(struct context *c, char **a)
{
    say_result(c, readahead(fd_of(c, a[0]), number(a[1]), (size_t)number(a[2])));
}

/* ---- names that libc makes up ---------------------------------------------------------------- */

/* The random part is checked and then renamed away, so that the tree is the same again. */
static void say_made(struct context *c, const char *slot, int fd, char *made, const char *model,
                     const char *name)
{
    const int code = errno;
    const size_t length = strlen(made);
    int like = strlen(model) == length;
    for (size_t i = 0; like && i < length; i++)
        like = model[i] == made[i] || (model[i] == 'X' && made[i] != '/');
    say(c, like ? " like" : " unlike");
    errno = code;
    if (slot != NULL)
        say_fd(c, slot, fd);
    else
        say_result(c, fd);
    const char *to = path_of(c, name);
    before_removal(c, AT_FDCWD, to);
    const int rc = fd < 0 ? 0 : (int)after_removal(c, rename(made, to));
    if (fd >= 0)
        say_result(c, rc);
    if (rc == 0)
        return;
    const char *lost = path_of(c, "lost"); /* a descriptor of it would tell its name */
    const char *last = rename(made, lost) == 0 ? lost : made;
    before_removal(c, AT_FDCWD, last);
    after_removal(c, remove(last));
}

/* mkstemp SLOT TEMPLATE SUFFIX-LENGTH FLAGS NEW-NAME; a template ends in XXXXXX and the suffix */
static void op_mkstemp(struct context *c, char **a)
{
    char made[PATH_BYTES];
    const char *model = path_of(c, a[1]);
    strcpy(made, model);
    const int suffix = (int)number(a[2]), flags = (int)number(a[3]);
    const int fd = suffix == 0 && flags == 0 ? mkstemp(made)
                   : suffix == 0             ? mkostemp(made, flags)
                   : flags == 0              ? mkstemps(made, suffix)
                                             : mkostemps(made, suffix, flags);
    say_made(c, a[0], fd, made, model, a[4]);
}

static void op_mkdtemp(struct context *c, char **a)
{
    char made[PATH_BYTES];
    const char *model = path_of(c, a[0]);
    strcpy(made, model);
    const int rc = mkdtemp(made) == NULL ? -1 : 0;
    say_made(c, NULL, rc, made, model, a[1]);
}

const struct operation_name file_operations[] = {
    {"open", 4, op_open},
    {"openat", 5, op_openat},
    {"reopen", 3, op_reopen},
    {"creat", 3, op_creat},
    {"openat2", 6, op_openat2},
    {"close", 1, op_close},
    {"read", 2, op_read},
    {"pread", 3, op_pread},
    {"readv", 2, op_readv},
    {"preadv2", 4, op_preadv2},
    {"write", 3, op_write},
    {"pwrite", 4, op_pwrite},
    {"writev", 3, op_writev},
    {"pwritev2", 5, op_pwritev2},
    {"dprintf", 2, op_dprintf},
    {"lseek", 3, op_lseek},
    {"truncate", 2, op_truncate},
    {"ftruncate", 2, op_ftruncate},
    {"fallocate", 4, op_fallocate},
    {"posix_fallocate", 3, op_posix_fallocate},
    {"fsync", 1, op_fsync},
    {"fdatasync", 1, op_fdatasync},
    {"sync_file_range", 4, op_sync_file_range},
    {"fadvise", 4, op_fadvise},
    {"readahead", 3, op_readahead},
    {"mkstemp", 5, op_mkstemp},
    {"mkdtemp", 2, op_mkdtemp},
    {NULL, 0, NULL},
};
