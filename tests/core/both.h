/* both.h - one operation done twice: in the hosted directory through the core, and in a plain
 * directory by the kernel.  Results and trees are compared; the kernel is the specification. */
#ifndef VELO_TESTS_CORE_BOTH_H
#define VELO_TESTS_CORE_BOTH_H

#include "check.h"

#include <dirent.h>
#include <sys/syscall.h>

enum verb {
    MKDIR,
    RMDIR,
    UNLINK,
    RENAME,
    RENAME_NOREPLACE_,
    LINK,
    SYMLINK,
    WRITE,  /* open with `flags` | O_CREAT, write `text`, close */
    OPEN,   /* open with `flags`, close; the answer is 0 or the error */
    READ,   /* the answer is a hash of the bytes */
    STAT,   /* follows */
    LSTAT,  /* does not */
    CHMOD,
    CHOWN,  /* to `mode` as uid and gid */
    TRUNCATE, /* to `mode` bytes */
    READLINK,
    ACCESS, /* `mode` as in access(2) */
    MKFIFO,
    VERB_COUNT
};

static const char *const verb_names[VERB_COUNT] = {
    "mkdir",    "rmdir",   "unlink", "rename", "rename-noreplace",
    "link",     "symlink", "write",  "open",   "read",
    "stat",     "lstat",   "chmod",  "chown",  "truncate",
    "readlink", "access",  "mkfifo",
};

struct step {
    enum verb verb;
    const char *name;
    const char *other; /* second name; a symlink's target; the text to write */
    int flags;
    mode_t mode;
};

static inline long hash_bytes(const char *bytes, size_t length)
{
    uint64_t hash = 14695981039346656037ull;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * 1099511628211ull;
    return (long)(hash >> 2); /* never negative: those are errors */
}

static inline long hash_descriptor(int fd)
{
    char bytes[65536];
    ssize_t got;
    long hash = 7;
    while ((got = read(fd, bytes, sizeof bytes)) > 0)
        hash = (hash >> 1) ^ hash_bytes(bytes, (size_t)got);
    return got < 0 ? -errno : hash;
}

/* What stat says that two file systems should agree on. */
static inline long hash_stat(const struct stat *st)
{
    char text[160];
    const int directory = S_ISDIR(st->st_mode);
    const int length =
        snprintf(text, sizeof text, "mode %o links %lu uid %u gid %u size %ld rdev %lu",
                 st->st_mode, (unsigned long)st->st_nlink, st->st_uid, st->st_gid,
                 directory ? 0 : (long)st->st_size, (unsigned long)st->st_rdev);
    return hash_bytes(text, (size_t)length);
}

static inline long write_and_close(int fd, const char *text)
{
    if (fd < 0)
        return fd;
    const ssize_t done = write(fd, text, strlen(text));
    close(fd);
    return done;
}

static inline long close_quietly(int fd)
{
    if (fd >= 0)
        close(fd);
    return fd < 0 ? fd : 0;
}

/* ---- the kernel's side ----------------------------------------------------------------------- */

static inline int native_open(const char *path, int flags, mode_t mode)
{
    const int fd = open(path, flags | O_CLOEXEC, mode);
    return fd < 0 ? -errno : fd;
}

static inline long native_read(const char *path)
{
    const int fd = native_open(path, O_RDONLY, 0);
    const long hash = fd < 0 ? fd : hash_descriptor(fd);
    close_quietly(fd);
    return hash;
}

static inline long native_call(const struct step *s, const char *path, const char *other)
{
    struct stat st;
    char text[PATH_MAX];
    switch (s->verb) {
    case MKDIR:
        return mkdir(path, s->mode);
    case RMDIR:
        return rmdir(path);
    case UNLINK:
        return unlink(path);
    case RENAME:
        return rename(path, other);
    case RENAME_NOREPLACE_:
        return syscall(SYS_renameat2, AT_FDCWD, path, AT_FDCWD, other, 1);
    case LINK:
        return link(path, other);
    case SYMLINK:
        return symlink(s->other, path);
    case STAT:
        return stat(path, &st) != 0 ? -1 : hash_stat(&st);
    case LSTAT:
        return lstat(path, &st) != 0 ? -1 : hash_stat(&st);
    case CHMOD:
        return chmod(path, s->mode);
    case CHOWN:
        return chown(path, s->mode, s->mode);
    case TRUNCATE:
        return truncate(path, (off_t)s->mode);
    case READLINK: {
        const ssize_t got = readlink(path, text, sizeof text);
        return got < 0 ? -1 : hash_bytes(text, (size_t)got);
    }
    case ACCESS:
        return access(path, (int)s->mode);
    default:
        return mkfifo(path, s->mode);
    }
}

static inline long native_step(const struct step *s, const char *path, const char *other)
{
    if (s->verb == WRITE)
        return write_and_close(native_open(path, s->flags | O_CREAT, s->mode), s->other);
    if (s->verb == OPEN)
        return close_quietly(native_open(path, s->flags, s->mode));
    if (s->verb == READ)
        return native_read(path);
    const long rc = native_call(s, path, other);
    return rc == -1 ? -errno : rc;
}

/* ---- the core's side ------------------------------------------------------------------------- */

static inline long hosted_read(const char *name)
{
    const int fd = hosted_open(name, O_RDONLY | O_CLOEXEC, 0);
    const long hash = fd < 0 ? fd : hash_descriptor(fd);
    close_quietly(fd);
    return hash;
}

static inline long hosted_call(const struct step *s, struct velo_place *place,
                               struct velo_place *other)
{
    struct velo_region *region = &bench.region;
    struct stat st;
    char text[PATH_MAX];
    long rc;
    switch (s->verb) {
    case MKDIR:
        return velo_mkdir(region, place, s->mode);
    case RMDIR:
        return velo_rmdir(region, place);
    case UNLINK:
        return velo_unlink(region, place);
    case RENAME:
    case RENAME_NOREPLACE_:
        return velo_rename(region, place, other, s->verb == RENAME_NOREPLACE_);
    case LINK:
        return velo_link(region, place, other);
    case SYMLINK:
        return velo_symlink(region, s->other, place);
    case STAT:
    case LSTAT:
        rc = velo_stat(region, place, &st);
        return rc != 0 ? rc : hash_stat(&st);
    case CHMOD:
        return velo_chmod(region, place, s->mode);
    case CHOWN:
        return velo_chown(region, place, s->mode, s->mode);
    case TRUNCATE:
        return velo_truncate(region, place, (off_t)s->mode);
    case READLINK:
        rc = velo_readlink(region, place, text, sizeof text);
        return rc < 0 ? rc : hash_bytes(text, (size_t)rc);
    case ACCESS:
        return velo_access(region, place, (int)s->mode, 0);
    default:
        return velo_mknod(region, place, S_IFIFO | s->mode, 0);
    }
}

static inline int follows(enum verb verb)
{
    return verb == STAT || verb == CHMOD || verb == CHOWN || verb == TRUNCATE || verb == ACCESS;
}

static inline long hosted_step(const struct step *s, const char *name, const char *other)
{
    struct velo_place a, b;
    if (s->verb == WRITE)
        return write_and_close(hosted_open(name, s->flags | O_CREAT | O_CLOEXEC, s->mode),
                               s->other);
    if (s->verb == OPEN)
        return close_quietly(hosted_open(name, s->flags | O_CLOEXEC, s->mode));
    if (s->verb == READ)
        return hosted_read(name);
    long rc = walk_to(name, follows(s->verb) ? 0 : VELO_WALK_NOFOLLOW, &a);
    if (rc == 0 && s->verb == LINK && a.at.type == VELO_NONE)
        return -ENOENT; /* the kernel looks at the second name later */
    if (rc == 0 && (s->verb == RENAME || s->verb == RENAME_NOREPLACE_ || s->verb == LINK))
        rc = walk_to(other, VELO_WALK_NOFOLLOW, &b);
    return rc != 0 ? rc : hosted_call(s, &a, &b);
}

/* ---- both ------------------------------------------------------------------------------------ */

/* Do one step on both sides; the answers (errors and hashes) must be equal. Returns the answer. */
static inline long do_both(const struct step *s)
{
    static _Thread_local char build[2][2 * PATH_MAX], plain[2][2 * PATH_MAX];
    const char *names[] = {s->name, s->other != NULL ? s->other : ""};
    for (int i = 0; i < 2; i++) {
        snprintf(build[i], sizeof build[i], "build/%s", names[i]);
        snprintf(plain[i], sizeof plain[i], "%s/plain/%s", bench.workspace, names[i]);
    }
    snprintf(bench.note, sizeof bench.note, "(%s %.80s %.80s flags %o mode %o)",
             verb_names[s->verb], s->name, names[1], s->flags, s->mode);
    const long hosted = hosted_step(s, build[0], build[1]);
    const long native = native_step(s, plain[0], plain[1]);
    CHECK_EQ(hosted, native);
    return native;
}

struct listing {
    const char *directory; /* below build and plain, with a trailing slash or empty */
    unsigned count;
};

static inline void trees_equal_below(const char *directory);

static inline int compare_entry(void *context, const char *name, size_t length, uint64_t inode,
                                unsigned char type)
{
    struct listing *list = context;
    char path[PATH_MAX];
    struct stat st;
    snprintf(path, sizeof path, "%.2000s%.*s", list->directory, (int)length, name);
    const struct step snapshot = {.verb = LSTAT, .name = path};
    list->count++;
    if (do_both(&snapshot) ==
        -EACCES) /* a directory that may be listed, not searched; root sees all */
        return 0;
    snprintf(path, sizeof path, "build/%.2000s%.*s", list->directory, (int)length, name);
    CHECK_EQ(hosted_stat(path, &st), 0);
    CHECK_EQ(st.st_ino, inode);
    CHECK_EQ(IFTODT(st.st_mode), type);
    const char *below = path + 6;
    const struct step read = {.verb = S_ISLNK(st.st_mode) ? READLINK : READ, .name = below};
    if (S_ISREG(st.st_mode) || S_ISLNK(st.st_mode))
        do_both(&read);
    if (S_ISDIR(st.st_mode)) {
        strcat(path, "/");
        trees_equal_below(below);
    }
    return 0;
}

static inline unsigned native_count(const char *directory)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/plain/%.3000s", bench.workspace, directory);
    DIR *dir = opendir(path);
    CHECK(dir != NULL);
    unsigned count = 0;
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count - 2;
}

static inline void trees_equal_below(const char *directory)
{
    char path[PATH_MAX];
    struct listing list = {.directory = directory};
    snprintf(path, sizeof path, "build/%.3000s", directory);
    CHECK_EQ(velo_list(&bench.region, node_at(path), compare_entry, &list), 0);
    CHECK_EQ(list.count, native_count(directory));
}

/* Every name, type, mode, owner, link count, size, target and byte is the same in build and plain. */
static inline void trees_equal(void)
{
    trees_equal_below("");
}

static inline void do_script(const struct step *steps, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        do_both(&steps[i]);
        bench_check();
    }
    trees_equal();
}

#define SCRIPT(...)                                                                                \
    do {                                                                                           \
        static const struct step steps_[] = {__VA_ARGS__};                                         \
        bench_open();                                                                              \
        do_script(steps_, sizeof steps_ / sizeof steps_[0]);                                       \
        bench_close();                                                                             \
    } while (0)

#endif
