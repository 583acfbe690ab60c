/* mountinfo.c - /proc/self/mountinfo to a list.  See mountinfo.h.
 *
 * A line: id parent major:minor root point options [tags...] - type source options
 * Spaces and the like in it are written as a backslash and three octal digits. */
#include "mountinfo.h"

#include <fcntl.h>
#include <string.h>

#include "os.h"
#include "text.h"

int velo_text_is_below(const char *path, size_t length, const char *above, size_t above_length)
{
    return length >= above_length && memcmp(path, above, above_length) == 0 &&
           (length == above_length || path[above_length] == '/');
}

/* ---- one line -------------------------------------------------------------------------------- */

static int is_octal(const char *text)
{
    for (int i = 0; i < 3; i++)
        if (text[i] < '0' || text[i] > '7')
            return 0;
    return 1;
}

/* The next field, ended by a NUL, as what it stands for; *at becomes where the rest is. */
static char *field(char **at)
{
    char *start = *at, *from = start, *to = start;
    while (*from != 0 && *from != ' ' && *from != '\n') {
        if (*from == '\\' && is_octal(from + 1)) {
            *to++ = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
            from += 4;
        } else {
            *to++ = *from++;
        }
    }
    *at = *from == ' ' ? from + 1 : from;
    *to = 0;
    return start;
}

static uint32_t number(const char **text)
{
    uint32_t value = 0;
    for (; **text >= '0' && **text <= '9'; ++*text)
        value = value * 10 + (uint32_t)(**text - '0');
    return value;
}

static uint32_t number_field(char **at)
{
    return (uint32_t)velo_read_decimal(field(at));
}

/* "/" becomes "", so that what is below begins with a slash behind it. */
static const char *path_field(char **at, size_t *length)
{
    char *text = field(at);
    *length = strlen(text);
    if (*length == 1 && text[0] == '/')
        text[ *length = 0] = 0;
    return text;
}

static int take_line(char *line, struct velo_mount *out)
{
    out->id = number_field(&line);
    out->parent = number_field(&line);
    const char *device = field(&line);
    const uint64_t major = number(&device);
    device += *device == ':';
    out->device = major << 32 | number(&device);
    out->root = path_field(&line, &out->root_length);
    out->point = path_field(&line, &out->point_length);
    field(&line);
    for (const char *tag = field(&line); strcmp(tag, "-") != 0; tag = field(&line))
        if (*tag == 0)
            return 0;
    out->type = field(&line);
    out->source = field(&line);
    out->options = field(&line);
    return out->id != 0;
}

/* ---- the list -------------------------------------------------------------------------------- */

struct velo_mounts *velo_mounts_read(void)
{
    struct velo_mounts *mounts = velo_os_memory(sizeof *mounts);
    if (mounts == NULL)
        return NULL;
    const long length = velo_os_read_text("/proc/self/mountinfo", mounts->text, VELO_MOUNTS_BYTES);
    mounts->cut = length == VELO_MOUNTS_BYTES - 1;
    for (char *line = mounts->text; *line != 0;) {
        char *end = line;
        while (*end != 0 && *end != '\n')
            end++;
        char *next = *end == 0 ? end : end + 1;
        *end = 0;
        if (mounts->count == VELO_MOUNTS_MAX)
            mounts->cut = 1;
        else
            mounts->count += (uint32_t)take_line(line, &mounts->all[mounts->count]);
        line = next;
    }
    if (length > 0)
        return mounts;
    velo_mounts_free(mounts);
    return NULL;
}

void velo_mounts_free(struct velo_mounts *mounts)
{
    velo_os_unmap(mounts, sizeof *mounts);
}

static const struct velo_mount *find_root(const struct velo_mounts *mounts)
{
    for (uint32_t i = 0; i < mounts->count; i++)
        if (mounts->all[i].point_length == 0)
            return &mounts->all[i];
    return NULL;
}

/* A mount hides all that was mounted at and below its point before. So the search goes from parent to child, each
 * time to the first mount that is met on the way. */
const struct velo_mount *velo_mount_of(const struct velo_mounts *mounts, const char *path,
                                       size_t length)
{
    const struct velo_mount *at = find_root(mounts);
    for (uint32_t steps = 0; at != NULL && steps < mounts->count; steps++) {
        const struct velo_mount *next = NULL;
        for (uint32_t i = 0; i < mounts->count; i++) {
            const struct velo_mount *each = &mounts->all[i];
            if (each->parent == at->id && each != at &&
                velo_text_is_below(path, length, each->point, each->point_length) &&
                (next == NULL || each->point_length < next->point_length))
                next = each;
        }
        if (next == NULL)
            break;
        at = next;
    }
    return at;
}
