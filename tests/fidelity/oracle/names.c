/* names.c - operations on names: directories, links, renames, special files. */
#include "oracle.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

static void op_mkdir(struct context *c, char **a)
{
    say_result(c, mkdir(path_of(c, a[0]), (mode_t)number(a[1])));
}

static void op_mkdirat(struct context *c, char **a)
{
    say_result(c, mkdirat(fd_of(c, a[0]), path_of(c, a[1]), (mode_t)number(a[2])));
}

static void op_rmdir(struct context *c, char **a)
{
    const char *path = path_of(c, a[0]);
    before_removal(c, AT_FDCWD, path);
    say_result(c, after_removal(c, rmdir(path)));
}

static void op_unlink(struct context *c, char **a)
{
    const char *path = path_of(c, a[0]);
    before_removal(c, AT_FDCWD, path);
    say_result(c, after_removal(c, unlink(path)));
}

static void op_unlinkat(struct context *c, char **a)
{
    const char *path = path_of(c, a[1]);
    before_removal(c, fd_of(c, a[0]), path);
    say_result(c, after_removal(c, unlinkat(fd_of(c, a[0]), path, (int)number(a[2]))));
}

static void op_remove(struct context *c, char **a)
{
    const char *path = path_of(c, a[0]);
    before_removal(c, AT_FDCWD, path);
    say_result(c, after_removal(c, remove(path)));
}

/* What crosses the border of hosted directories may get another inode number (docs/limits.md). */
static long crossed(struct context *c, const char *from, const char *to, long result)
{
    if (result == 0 && (from[0] == '^') != (to[0] == '^'))
        see_anew(c->observed);
    return result;
}

static void op_rename(struct context *c, char **a)
{
    const char *from = path_of(c, a[0]), *to = path_of(c, a[1]);
    before_removal(c, AT_FDCWD, to);
    say_result(c, crossed(c, a[0], a[1], after_removal(c, rename(from, to))));
}

static void op_renameat(struct context *c, char **a)
{
    const char *from = path_of(c, a[1]), *to = path_of(c, a[3]);
    before_removal(c, fd_of(c, a[2]), to);
    say_result(c, after_removal(c, renameat(fd_of(c, a[0]), from, fd_of(c, a[2]), to)));
}

static void op_renameat2(struct context *c, char **a)
{
    const char *from = path_of(c, a[1]), *to = path_of(c, a[3]);
    const unsigned flags = (unsigned)number(a[4]);
    before_removal(c, fd_of(c, a[2]), to);
    if ((flags & RENAME_EXCHANGE) != 0)
        c->doomed = NULL;
    say_result(c, after_removal(c, renameat2(fd_of(c, a[0]), from, fd_of(c, a[2]), to, flags)));
}

static void op_link(struct context *c, char **a)
{
    say_result(c, crossed(c, a[0], a[1], link(path_of(c, a[0]), path_of(c, a[1]))));
}

/* The same of files that nobody has open: across the border others may not have them, and who watches
 * does not hear of descriptors that were there before (docs/limits.md). */
static void op_closed(struct context *c, char **a)
{
    const int watches = strcmp(a[0], "watch") == 0;
    const int slot = watches ? slot_of(a[1], SLOTS) : 0, kept = watches ? c->fds[slot] : -1;
    if (watches)
        c->fds[slot] = -1;
    context_clear(c);
    for (int fd = 3; fd < FD_OUT; fd++) /* a stream of before an exec, too */
        if (fd != kept)
            close(fd);
    if (watches) {
        c->fds[slot] = kept >= 0 ? kept : inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        say_result(c, inotify_add_watch(c->fds[slot], path_of(c, a[2]), (uint32_t)number(a[3])));
    } else {
        (strcmp(a[0], "link") == 0 ? op_link : op_rename)(c, a + 1);
    }
}

/* A descriptor as `/proc/self/fd/N` is spelled %S by scripts: the number is not theirs to know. */
static const char *through_proc(struct context *c, const char *word, char out[64])
{
    if (word[0] != '%' || word[1] != 'S')
        return path_of(c, word);
    snprintf(out, 64, "/proc/self/fd/%d", fd_of(c, word + 2));
    return out;
}

static void op_linkat(struct context *c, char **a)
{
    char proc[64];
    const char *from = through_proc(c, a[1], proc), *to = path_of(c, a[3]);
    say_result(c, linkat(fd_of(c, a[0]), from, fd_of(c, a[2]), to, (int)number(a[4])));
}

static void op_symlink(struct context *c, char **a)
{
    say_result(c, symlink(path_of(c, a[0]), path_of(c, a[1])));
}

static void op_symlinkat(struct context *c, char **a)
{
    const char *target = path_of(c, a[0]), *path = path_of(c, a[2]);
    say_result(c, symlinkat(target, fd_of(c, a[1]), path));
}

static void say_link(struct context *c, const char *text, long length)
{
    say_result(c, length);
    if (length > 0)
        say_text(c, text, (size_t)length);
}

static void op_readlink(struct context *c, char **a)
{
    char text[8192];
    const size_t size = (size_t)number(a[1]);
    say_link(c, text, readlink(path_of(c, a[0]), text, size < sizeof text ? size : sizeof text));
}

static void op_readlinkat(struct context *c, char **a)
{
    char text[8192];
    const size_t size = (size_t)number(a[2]);
    say_link(c, text,
             readlinkat(fd_of(c, a[0]), path_of(c, a[1]), text,
                        size < sizeof text ? size : sizeof text));
}

/* Where the kernel says a descriptor is; of a file, which may have several names, it knows which one
 * was opened, and velo does not (programs/proc_fd.c has those that have one). */
static void op_fdpath(struct context *c, char **a)
{
    char path[64], text[8192];
    struct stat st;
    if (fstat(fd_of(c, a[0]), &st) == 0 && !S_ISDIR(st.st_mode)) {
        say(c, " %c", type_letter(st.st_mode));
        return;
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd_of(c, a[0]));
    say_link(c, text, readlink(path, text, sizeof text));
}

static void op_mknod(struct context *c, char **a)
{
    say_result(c, mknod(path_of(c, a[0]), (mode_t)number(a[1]), makedev(1, 3)));
}

static void op_mknodat(struct context *c, char **a)
{
    say_result(c, mknodat(fd_of(c, a[0]), path_of(c, a[1]), (mode_t)number(a[2]), makedev(1, 3)));
}

static void op_mkfifo(struct context *c, char **a)
{
    say_result(c, mkfifo(path_of(c, a[0]), (mode_t)number(a[1])));
}

static void op_bind(struct context *c, char **a)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = path_of(c, a[1]);
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    /* A path too long for a socket is refused by us, on both sides. */
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    if (strlen(path) >= sizeof address.sun_path) {
        close(fd);
        say(c, " too long");
        return;
    }
    say_result(c, bind(fd, (struct sockaddr *)&address, sizeof address));
    say_fd(c, a[0], fd);
}

static void op_connect(struct context *c, char **a)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path_of(c, a[0]));
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    say_result(c, connect(fd, (struct sockaddr *)&address, sizeof address));
    close(fd);
}

const struct operation_name name_operations[] = {
    {"mkdir", 2, op_mkdir},
    {"mkdirat", 3, op_mkdirat},
    {"rmdir", 1, op_rmdir},
    {"unlink", 1, op_unlink},
    {"unlinkat", 3, op_unlinkat},
    {"remove", 1, op_remove},
    {"closed", 3, op_closed},
    {"rename", 2, op_rename},
    {"renameat", 4, op_renameat},
    {"renameat2", 5, op_renameat2},
    {"link", 2, op_link},
    {"linkat", 5, op_linkat},
    {"symlink", 2, op_symlink},
    {"symlinkat", 3, op_symlinkat},
    {"readlink", 2, op_readlink},
    {"readlinkat", 3, op_readlinkat},
    {"fdpath", 1, op_fdpath},
    {"mknod", 2, op_mknod},
    {"mknodat", 3, op_mknodat},
    {"mkfifo", 2, op_mkfifo},
    {"bind", 2, op_bind},
    {"connect", 1, op_connect},
    {NULL, 0, NULL},
};
