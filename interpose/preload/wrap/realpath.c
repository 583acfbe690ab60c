/* realpath.c - realpath and its twins: one name at a time, each asked whether it is a link.
 *
 * libc's asks by a call inside libc, which sees the disk; so a path that is ours is resolved here, by
 * the same steps: `.` and `..` by the text, a link spliced in where it stands, and a directory asked
 * for only where the text demands one.  Like libc's it allocates. */
#include <stdlib.h>
#include <unistd.h>

#include "preload/path/claim.h"
#include "preload/base/raw.h"
#include "preload/replay/unit.h"

#define LINKS_MAX 40

struct resolving {
    char done[PATH_MAX + NAME_MAX + 2]; /* resolved so far; ends in no slash but as the root */
    size_t length;
    char link[PATH_MAX];
    char *rest; /* text still to resolve: the path, or a link with what followed it */
    char *at;   /* in rest */
    int links;
};

static void step_up(struct resolving *r)
{
    while (r->length > 1 && r->done[--r->length] != '/') {
    }
    r->done[r->length] = 0;
}

static int append(struct resolving *r, const char *name, size_t length)
{
    if (length > NAME_MAX || r->length + 1 + length >= sizeof r->done - 1)
        return -ENAMETOOLONG;
    if (r->length > 1)
        r->done[r->length++] = '/';
    memcpy(r->done + r->length, name, length);
    r->length += length;
    r->done[r->length] = 0;
    return 0;
}

/* Only a directory can be followed by this: a slash at the end, `/.` up to there, or `/..`. */
static bool demands_directory(const char *after)
{
    while (*after == '/') {
        after += strspn(after, "/");
        const size_t length = strcspn(after, "/");
        if (length == 0 || (length == 2 && after[0] == '.' && after[1] == '.'))
            return true;
        if (length != 1 || after[0] != '.')
            return false;
        after += length;
        if (*after == 0)
            return true;
    }
    return false;
}

static int is_directory(struct resolving *r)
{
    r->done[r->length] = '/';
    r->done[r->length + 1] = 0;
    const int rc = faccessat(AT_FDCWD, r->done, F_OK, AT_EACCESS) == 0 ? 0 : -errno;
    r->done[r->length] = 0;
    return rc;
}

/* r->link of `length` bytes stands where the last name was. */
static int splice_link(struct resolving *r, size_t length)
{
    const size_t tail = strlen(r->at);
    if (++r->links > LINKS_MAX)
        return -ELOOP;
    char *text = malloc(length + tail + 1);
    if (text == NULL)
        return -ENOMEM;
    memcpy(text, r->link, length);
    memcpy(text + length, r->at, tail + 1);
    free(r->rest);
    r->rest = r->at = text;
    if (text[0] == '/') {
        r->length = 1;
        r->done[1] = 0;
    } else {
        step_up(r);
    }
    return 0;
}

static int resolve_name(struct resolving *r, const char *name, size_t length)
{
    if (length == 1 && name[0] == '.')
        return 0;
    if (length == 2 && name[0] == '.' && name[1] == '.') {
        step_up(r);
        return 0;
    }
    const int rc = append(r, name, length);
    if (rc != 0)
        return rc;
    const ssize_t got = readlink(r->done, r->link, sizeof r->link);
    if (got >= 0)
        return splice_link(r, (size_t)got);
    if (demands_directory(r->at))
        return is_directory(r);
    return errno == EINVAL ? 0 : -errno;
}

static int resolve(struct resolving *r)
{
    int rc = 0;
    while (rc == 0) {
        r->at += strspn(r->at, "/");
        const size_t length = strcspn(r->at, "/");
        if (length == 0)
            return r->length < PATH_MAX ? 0 : -ENAMETOOLONG;
        const char *name = r->at;
        r->at += length;
        rc = resolve_name(r, name, length);
    }
    return rc;
}

static int start(struct resolving *r, const char *path)
{
    if (path[0] == 0)
        return -ENOENT;
    r->rest = r->at = strdup(path);
    if (r->rest == NULL)
        return -ENOMEM;
    strcpy(r->done, "/");
    const long size = path[0] == '/' ? 2 : raw_getcwd(r->done, PATH_MAX);
    r->length = size > 0 ? (size_t)size - 1 : 0;
    return size < 0 ? (int)size : 0;
}

static char *realpath_hosted(const char *path, char *out)
{
    const int saved = errno;
    struct resolving *r = calloc(1, sizeof *r);
    if (r == NULL)
        return NULL;
    int rc = start(r, path);
    if (rc == 0) {
        rc = resolve(r);
        if ((rc == -ENOENT || rc == -EACCES) && out != NULL && r->length < PATH_MAX)
            strcpy(out, r->done); /* as libc: what could not be resolved */
    }
    char *answer = rc != 0 ? NULL : out != NULL ? strcpy(out, r->done) : strdup(r->done);
    free(r->rest);
    free(r);
    errno = saved;
    if (answer == NULL)
        velo_answer(rc != 0 ? rc : -ENOMEM);
    return answer;
}

EXPORT char *realpath(const char *restrict path, char *restrict out)
{
    struct velo_place place;
    char *resolved = velo_claim(AT_FDCWD, path, 0, &place) == VELO_NOT_OURS
                         ? NEXT(realpath)(path, out)
                         : realpath_hosted(path, out);
    if (resolved != NULL)
        velo_saw_two(VELO_RECORD_REAL, AT_FDCWD, path, AT_FDCWD, resolved);
    else
        velo_saw_errno(VELO_RECORD_REAL, AT_FDCWD, path, -1);
    return resolved;
}

char *__realpath_chk(const char *path, char *out, size_t room);

EXPORT char *__realpath_chk(const char *path, char *out, size_t room)
{
    return room < PATH_MAX ? NEXT(__realpath_chk)(path, out, room) : realpath(path, out);
}

EXPORT char *canonicalize_file_name(const char *path)
{
    return realpath(path, NULL);
}
