/* words.c - what the words of a script mean: paths, numbers, names of flags, slots. */
#include "oracle.h"

#include <ctype.h>
#include <fcntl.h>
#include <fts.h>
#include <ftw.h>
#include <glob.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

static const struct {
    const char *name;
    long value;
} known[] = {
#define N(name) {#name, (long)name},
    N(O_RDONLY) N(O_WRONLY) N(O_RDWR) N(O_CREAT) N(O_EXCL) N(O_TRUNC) N(O_APPEND) N(O_DIRECTORY) N(
        O_NOFOLLOW) N(O_PATH) N(O_TMPFILE) N(O_CLOEXEC) N(O_NONBLOCK) N(O_SYNC) N(O_DSYNC)
        N(O_NOATIME) N(O_NOCTTY) N(AT_EMPTY_PATH) N(AT_SYMLINK_NOFOLLOW) N(AT_SYMLINK_FOLLOW) N(
            AT_REMOVEDIR) N(AT_EACCESS) N(AT_NO_AUTOMOUNT) N(RENAME_NOREPLACE) N(RENAME_EXCHANGE)
            N(RENAME_WHITEOUT) N(SEEK_SET) N(SEEK_CUR) N(SEEK_END) N(SEEK_DATA) N(SEEK_HOLE) N(
                FALLOC_FL_KEEP_SIZE) N(FALLOC_FL_PUNCH_HOLE) N(FALLOC_FL_ZERO_RANGE) N(FALLOC_FL_COLLAPSE_RANGE)
                N(FALLOC_FL_INSERT_RANGE) N(F_OK) N(R_OK) N(W_OK) N(X_OK) N(PROT_NONE) N(PROT_READ) N(PROT_WRITE) N(
                    PROT_EXEC) N(MAP_SHARED) N(MAP_PRIVATE) N(MAP_SHARED_VALIDATE) N(MAP_POPULATE) N(MS_SYNC) N(MS_ASYNC) N(MS_INVALIDATE)
                    N(MADV_DONTNEED) N(MADV_WILLNEED) N(MADV_REMOVE) N(MREMAP_MAYMOVE) N(LOCK_SH) N(LOCK_EX) N(LOCK_UN) N(
                        LOCK_NB) N(F_GETLK) N(F_SETLK) N(F_OFD_GETLK) N(F_OFD_SETLK)
                        N(F_RDLCK) N(F_WRLCK) N(F_UNLCK) N(F_LOCK) N(F_TLOCK) N(F_ULOCK) N(F_TEST) N(F_GETFL) N(
                            F_SETFL) N(F_GETFD) N(F_SETFD) N(FD_CLOEXEC) N(F_DUPFD) N(F_DUPFD_CLOEXEC) N(F_SETLEASE) N(F_GETLEASE)
                            N(F_ADD_SEALS) N(F_GET_SEALS) N(F_GETPIPE_SZ) N(F_GET_RW_HINT) N(F_NOTIFY) N(
                                S_IFREG) N(S_IFIFO) N(S_IFSOCK) N(S_IFCHR) N(S_IFDIR) N(XATTR_CREATE)
                                N(XATTR_REPLACE) N(STATX_BASIC_STATS) N(STATX_ALL) N(STATX_TYPE) N(
                                    STATX_SIZE) N(STATX_INO) N(STATX_MTIME) N(STATX_BTIME) N(STATX_MNT_ID)
                                    N(AT_STATX_FORCE_SYNC) N(AT_STATX_DONT_SYNC) N(IN_ACCESS) N(IN_MODIFY) N(
                                        IN_ATTRIB) N(IN_CLOSE_WRITE) N(IN_CLOSE_NOWRITE) N(IN_OPEN)
                                        N(IN_DELETE_SELF) N(IN_MOVE_SELF) N(IN_ALL_EVENTS) N(IN_ONLYDIR) N(
                                            IN_CREATE) N(IN_DELETE) N(IN_MOVED_FROM) N(IN_MOVED_TO) N(FTW_PHYS)
                                            N(FTW_DEPTH) N(FTW_MOUNT) N(FTW_CHDIR) N(FTW_ACTIONRETVAL) N(
                                                FTW_STOP) N(FTW_SKIP_SUBTREE)
                                                N(FTW_SKIP_SIBLINGS) N(FTS_COMFOLLOW) N(FTS_LOGICAL) N(
                                                    FTS_NOCHDIR) N(FTS_NOSTAT) N(FTS_PHYSICAL)
                                                    N(FTS_SEEDOT) N(FTS_XDEV) N(FTS_AGAIN) N(FTS_FOLLOW) N(
                                                        FTS_NOINSTR) N(FTS_SKIP) N(ORACLE_NAMED) N(ORACLE_SORTED)
                                                        N(ORACLE_CHILDREN) N(ORACLE_NAMES) N(
                                                            GLOB_MARK) N(GLOB_NOSORT)
                                                            N(GLOB_BRACE) N(GLOB_NOCHECK) N(GLOB_ONLYDIR) N(
                                                                GLOB_PERIOD) N(FICLONE) N(FIONREAD) N(FIGETBSZ)
                                                                N(RWF_APPEND) N(RWF_DSYNC) N(RWF_NOWAIT) N(
                                                                    RWF_HIPRI) N(POSIX_FADV_DONTNEED)
                                                                    N(POSIX_FADV_WILLNEED) N(
                                                                        POSIX_FADV_SEQUENTIAL) N(SYNC_FILE_RANGE_WRITE)
                                                                        N(SYNC_FILE_RANGE_WAIT_AFTER) N(
                                                                            _PC_NAME_MAX) N(_PC_PATH_MAX)
                                                                            N(
                                                                                _PC_LINK_MAX) N(_PC_FILESIZEBITS)
                                                                                N(_PC_SYMLINK_MAX) N(
                                                                                    _PC_NO_TRUNC) N(_PC_PIPE_BUF)
                                                                                    N(RESOLVE_NO_XDEV) N(
                                                                                        RESOLVE_NO_MAGICLINKS)
                                                                                        N(RESOLVE_NO_SYMLINKS) N(
                                                                                            RESOLVE_BENEATH)
                                                                                            N(RESOLVE_IN_ROOT) N(
                                                                                                RESOLVE_CACHED)
                                                                                                N(_PC_CHOWN_RESTRICTED)
                                                                                                    N(_PC_2_SYMLINKS)
                                                                                                        N(_PC_REC_XFER_ALIGN)
#undef N
};

static long one_number(const char *word, size_t length)
{
    if (isdigit((unsigned char)word[0]) || word[0] == '-')
        return strtol(word, NULL, 0);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strlen(known[i].name) == length && memcmp(known[i].name, word, length) == 0)
            return known[i].value;
    fprintf(stderr, "oracle: unknown word %.*s\n", (int)length, word);
    exit(3);
}

long number(const char *word)
{
    long value = 0;
    for (;;) {
        const size_t length = strcspn(word, "|");
        value |= one_number(word, length);
        if (word[length] == 0)
            return value;
        word += length + 1;
    }
}

int slot_of(const char *word, int count)
{
    const long slot = number(word);
    if (slot < 0 || slot >= count) {
        fprintf(stderr, "oracle: no slot %s\n", word);
        exit(3);
    }
    return (int)slot;
}

int fd_of(struct context *c, const char *word)
{
    if (strcmp(word, ".") == 0)
        return AT_FDCWD;
    if (strcmp(word, "-") == 0)
        return -1;
    return c->fds[slot_of(word, SLOTS)];
}

void fill(unsigned char *data, size_t length, unsigned seed)
{
    uint32_t state = seed * 2654435761u + 1;
    for (size_t i = 0; i < length; i++) {
        state = state * 1664525u + 1013904223u;
        data[i] = (unsigned char)('a' + (state >> 24) % 26);
    }
}

const char *error_name(int code)
{
    const char *name = strerrorname_np(code);
    return name != NULL ? name : "unknown error";
}

/* ---- paths ----------------------------------------------------------------------------------- */

struct growing {
    char *text;
    size_t used;
};

static void put(struct growing *out, const char *text, size_t length)
{
    if (out->used + length >= PATH_BYTES)
        length = PATH_BYTES - 1 - out->used;
    memcpy(out->text + out->used, text, length);
    out->used += length;
    out->text[out->used] = 0;
}

/* `{text*N}`; the end of it, or NULL when it is none. */
static const char *repeat(struct growing *out, const char *word)
{
    const char *star = strchr(word, '*'), *end = strchr(word, '}');
    if (star == NULL || end == NULL || star > end)
        return NULL;
    for (long left = strtol(star + 1, NULL, 10); left > 0; left--)
        put(out, word + 1, (size_t)(star - word - 1));
    return end + 1;
}

static int hex(char digit)
{
    return isdigit((unsigned char)digit) ? digit - '0' : tolower((unsigned char)digit) - 'a' + 10;
}

const char *path_of(struct context *c, const char *word)
{
    struct growing out = {c->paths[c->next_path++ & 3], 0};
    out.text[0] = 0;
    if (strcmp(word, "''") == 0)
        return out.text;
    if (strcmp(word, "NULL") == 0)
        return NULL;
    if (strcmp(word, "BAD1") == 0)
        return (const char *)1;
    if (strcmp(word, "BAD2") == 0)
        return (const char *)-1;
    const int absolute = word[0] == '@' || word[0] == '^';
    if (absolute) {
        const char *start = word[0] == '@' ? shared->base : shared->outside;
        put(&out, start, strlen(start));
        word++;
    }
    if (c->lane != NULL && (absolute || word[0] != '/')) {
        put(&out, "/", absolute ? 1 : 0);
        put(&out, c->lane, strlen(c->lane));
        put(&out, "/", absolute ? 0 : 1);
    }
    while (*word != 0) {
        const char *after = *word == '{' ? repeat(&out, word) : NULL;
        if (after != NULL) {
            word = after;
        } else if (*word == '%' && isxdigit((unsigned char)word[1]) &&
                   isxdigit((unsigned char)word[2])) {
            const char byte = (char)(hex(word[1]) << 4 | hex(word[2]));
            put(&out, &byte, 1);
            word += 3;
        } else {
            put(&out, word++, 1);
        }
    }
    return out.text;
}
