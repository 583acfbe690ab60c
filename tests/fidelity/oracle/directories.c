/* directories.c - listings, patterns, the working directory, names made canonical. */
#include "oracle.h"

#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Lines to be printed in sorted order: the order of a directory is the file system's business. */
struct lines {
    char *text[2048];
    size_t count;
};
static _Thread_local struct lines lines;

static void add_line(const char *text)
{
    if (lines.count < 2048)
        lines.text[lines.count++] = strdup(text);
}

static int by_text(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

static void say_lines(struct context *c)
{
    qsort(lines.text, lines.count, sizeof lines.text[0], by_text);
    say(c, " %zu:", lines.count);
    for (size_t i = 0; i < lines.count; i++) {
        say_text(c, lines.text[i], strlen(lines.text[i]));
        free(lines.text[i]);
    }
    lines.count = 0;
}

/* ---- streams --------------------------------------------------------------------------------- */

static void keep_stream(struct context *c, const char *word, DIR *dir)
{
    const int slot = slot_of(word, OTHERS);
    if (dir == NULL) {
        say_result(c, -1);
        return;
    }
    if (c->dirs[slot] != NULL)
        closedir(c->dirs[slot]);
    c->dirs[slot] = dir;
    if (c->lane == NULL)
        say(c, " fd%d", dirfd(dir));
}

static void op_opendir(struct context *c, char **a)
{
    keep_stream(c, a[0], opendir(path_of(c, a[1])));
}

static void op_fdopendir(struct context *c, char **a)
{
    DIR *dir = fdopendir(fd_of(c, a[1]));
    if (dir != NULL)
        c->fds[slot_of(a[1], SLOTS)] = -1;
    keep_stream(c, a[0], dir);
}

static DIR *stream(struct context *c, const char *word)
{
    DIR *dir = c->dirs[slot_of(word, OTHERS)];
    if (dir == NULL)
        say(c, " none");
    return dir;
}

/* d_ino must be what lstat says, but for `..` of a mount point and names that are gone. */
static void add_entry(int fd, const struct dirent *entry)
{
    char line[600];
    struct stat st;
    const int known = fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0;
    snprintf(line, sizeof line, "%s:%u%s", entry->d_name, entry->d_type,
             !known                      ? ":gone"
             : st.st_ino != entry->d_ino ? ":other"
                                         : "");
    add_line(line);
}

static void op_list(struct context *c, char **a)
{
    DIR *dir = stream(c, a[0]);
    if (dir == NULL)
        return;
    errno = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        add_entry(dirfd(dir), entry);
    say(c, " %s", error_name(errno));
    say_lines(c);
}

static void op_rewind(struct context *c, char **a)
{
    DIR *dir = stream(c, a[0]);
    if (dir != NULL)
        rewinddir(dir);
}

static void op_closedir(struct context *c, char **a)
{
    DIR *dir = stream(c, a[0]);
    if (dir == NULL)
        return;
    say_result(c, closedir(dir));
    c->dirs[slot_of(a[0], OTHERS)] = NULL;
}

/* Read some, remember the place, read on, come back: the second reading must be the first again. */
static void op_seek(struct context *c, char **a)
{
    DIR *dir = stream(c, a[0]);
    if (dir == NULL)
        return;
    rewinddir(dir);
    long skipped = 0;
    while (skipped < number(a[1]) && readdir(dir) != NULL)
        skipped++;
    const long place = telldir(dir);
    uint64_t hashes[2] = {0, 0};
    long counts[2] = {0, 0};
    for (int round = 0; round < 2; round++) {
        seekdir(dir, place);
        for (struct dirent *entry; (entry = readdir(dir)) != NULL; counts[round]++)
            hashes[round] = hashes[round] * 31 + hash_of(entry->d_name, strlen(entry->d_name));
    }
    say(c, " %ld %ld %s", skipped, counts[0],
        hashes[0] == hashes[1] && counts[0] == counts[1] ? "same" : "different");
}

/* Remove every name of a flat directory while reading it, as rm -rf does. */
static void op_empty(struct context *c, char **a)
{
    DIR *dir = stream(c, a[0]);
    if (dir == NULL)
        return;
    rewinddir(dir);
    long removed = 0, kept = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (unlinkat(dirfd(dir), entry->d_name, 0) == 0)
            removed++;
        else
            kept++;
    }
    say(c, " %ld %ld", removed, kept);
}

static void op_scandir(struct context *c, char **a)
{
    struct dirent **found;
    const int count = scandirat(fd_of(c, a[0]), path_of(c, a[1]), &found, NULL, alphasort);
    if (count < 0) {
        say_result(c, count);
        return;
    }
    for (int i = 0; i < count; i++) {
        say_text(c, found[i]->d_name, strlen(found[i]->d_name));
        say(c, ":%u", found[i]->d_type);
        free(found[i]);
    }
    free(found);
}

static void op_getdents(struct context *c, char **a)
{
    _Alignas(8) static _Thread_local char room[32768];
    long got;
    const int fd = fd_of(c, a[0]);
    while ((got = getdents64(fd, room, sizeof room)) > 0)
        for (long at = 0; at < got;) {
            const struct dirent64 *entry = (const void *)(room + at);
            at += entry->d_reclen;
            add_line(entry->d_name);
        }
    say_result(c, got);
    say_lines(c);
}

/* ---- walks ----------------------------------------------------------------------------------- */

static void op_glob(struct context *c, char **a)
{
    glob_t found;
    const int rc = glob(path_of(c, a[0]), (int)number(a[1]), NULL, &found);
    say(c, " %d", rc);
    if (rc == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++)
            add_line(found.gl_pathv[i]);
        say_lines(c);
        globfree(&found);
    }
}

/* The whole tree with attributes and contents: what a script ends with. */
static void audit(struct context *c, int at, const char *prefix, int depth)
{
    char *names[512];
    size_t count = 0;
    const int fd = openat(at, depth == 0 ? prefix : strrchr(prefix, '/') + 1,
                          O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        const char *why = error_name(errno);
        say(c, "\n ");
        say_text(c, prefix, strlen(prefix));
        say(c, " %s", why);
        return;
    }
    for (struct dirent *entry; count < 512 && (entry = readdir(dir)) != NULL;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            names[count++] = strdup(entry->d_name);
    qsort(names, count, sizeof names[0], by_text);
    for (size_t i = 0; i < count; i++) {
        char path[PATH_BYTES], text[4096];
        struct stat st;
        snprintf(path, sizeof path, "%s/%s", prefix, names[i]);
        say(c, "\n ");
        say_text(c, path, strlen(path));
        if (fstatat(fd, names[i], &st, AT_SYMLINK_NOFOLLOW) != 0) {
            say(c, " %s", error_name(errno));
        } else {
            say_stat(c, &st, fd, names[i], AT_SYMLINK_NOFOLLOW);
            if (S_ISLNK(st.st_mode)) {
                const long length = readlinkat(fd, names[i], text, sizeof text);
                say_text(c, text, length > 0 ? (size_t)length : 0);
            } else if (S_ISREG(st.st_mode)) {
                static _Thread_local unsigned char bytes[DATA_MAX];
                const int file = openat(fd, names[i], O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
                say_data(c, bytes, file < 0 ? -1 : read(file, bytes, sizeof bytes));
                if (file >= 0)
                    close(file);
            } else if (S_ISDIR(st.st_mode) && depth < 8) {
                audit(c, fd, path, depth + 1);
            }
        }
        free(names[i]);
    }
    closedir(dir);
}

static void op_audit(struct context *c, char **a)
{
    audit(c, AT_FDCWD, path_of(c, a[0]), 0);
}

/* ---- where we are ---------------------------------------------------------------------------- */

static void op_chdir(struct context *c, char **a)
{
    say_result(c, chdir(path_of(c, a[0])));
}

static void op_fchdir(struct context *c, char **a)
{
    say_result(c, fchdir(fd_of(c, a[0])));
}

static void op_getcwd(struct context *c, char **a)
{
    char path[PATH_BYTES];
    const size_t size = (size_t)number(a[0]);
    if (getcwd(path, size < sizeof path ? size : sizeof path) == NULL)
        say_result(c, -1);
    else
        say_text(c, path, strlen(path));
    char *fresh = get_current_dir_name();
    say(c, fresh == NULL ? " none" : "");
    if (fresh != NULL)
        say_text(c, fresh, strlen(fresh));
    free(fresh);
}

static void op_realpath(struct context *c, char **a)
{
    char path[8192];
    if (realpath(path_of(c, a[0]), path) == NULL)
        say_result(c, -1);
    else
        say_text(c, path, strlen(path));
}

static void op_canonicalize(struct context *c, char **a)
{
    char *path = canonicalize_file_name(path_of(c, a[0]));
    if (path == NULL)
        say_result(c, -1);
    else
        say_text(c, path, strlen(path));
    free(path);
}

const struct operation_name directory_operations[] = {
    {"opendir", 2, op_opendir},
    {"fdopendir", 2, op_fdopendir},
    {"list", 1, op_list},
    {"rewind", 1, op_rewind},
    {"closedir", 1, op_closedir},
    {"seek", 2, op_seek},
    {"empty", 1, op_empty},
    {"scandir", 2, op_scandir},
    {"getdents", 1, op_getdents},
    {"glob", 2, op_glob},
    {"audit", 1, op_audit},
    {"chdir", 1, op_chdir},
    {"fchdir", 1, op_fchdir},
    {"getcwd", 1, op_getcwd},
    {"realpath", 1, op_realpath},
    {"canonicalize", 1, op_canonicalize},
    {NULL, 0, NULL},
};
