/* open_files.c - the processes that have a file open, as /proc tells: also by O_PATH, which no lease
 * knows of.
 *
 * The search reads all of /proc, so it is for what happens once in a build, if ever. */
#include "open_files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "kernel/dents.h"
#include "kernel/os.h"
#include "kernel/text.h"
#include "core/arena/process.h"
#include "core/arena/layout.h"
#include "core/tree/tree.h"

#define DENTS_BYTES (1u << 16)

struct search { /* mapped: the caller may have a small stack */
    const struct velo_region *region;
    const char *file;
    velo_open_file_visit see;
    void *context;
    int self; /* the process looked at is this one */
    int any; /* a process that cannot be looked into is passed over */
    velo_stranger is_wanted;
    void *wanted; /* its context */
    uint32_t pid;
    char own[16], path[300], link[PATH_MAX], processes[DENTS_BYTES], descriptors[DENTS_BYTES];
};

/* Calls `each` for the entries of `directory` that are numbers, until one returns not 0. */
static int each_number(struct search *s, const char *directory, char *buffer,
                       int (*each)(struct search *s, const char *name))
{
    const int fd = velo_os_open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    int rc = 0;
    if (fd < 0)
        return fd;
    struct velo_dents all = {.fd = fd, .buffer = buffer, .size = DENTS_BYTES};
    for (const struct velo_dent *dent; rc == 0 && (dent = velo_dents_next(&all)) != NULL;)
        if (dent->name[0] >= '0' && dent->name[0] <= '9')
            rc = each(s, dent->name);
    velo_os_close(fd);
    return rc;
}

static int probe_descriptor(struct search *s, const char *name)
{
    char *const end = s->path + strlen(s->path);
    const size_t length = strlen(s->file);
    strcpy(stpcpy(end, "/"), name);
    const long got = velo_os_readlinkat(AT_FDCWD, s->path, s->link, PATH_MAX - 1);
    *end = 0;
    if (got < 0 || (size_t)got < length || memcmp(s->link, s->file, length) != 0 ||
        ((size_t)got > length && s->file[length - 1] != '/'))
        return 0;
    s->link[got] = 0;
    return s->see(s->context, s->self ? 0 : s->pid, (int)velo_read_decimal(name), s->link + length);
}

/* Of a process that cannot be looked into, since it changed its user or has another one. It may have
 * inherited our files when it is of our session, or when an attached process started it. */
static int may_be_kin(const struct search *s, const char *name)
{
    const uint32_t pid = (uint32_t)velo_read_decimal(name);
    return velo_sys1(SYS_getsid, pid) == velo_sys1(SYS_getsid, 0) ||
           velo_enlisted_since(s->region, pid) != 0;
}

static int probe_process(struct search *s, const char *name)
{
    s->self = strcmp(name, s->own) == 0;
    s->pid = (uint32_t)velo_read_decimal(name);
    strcpy(stpcpy(stpcpy(s->path, "/proc/"), name), "/fd");
    const int rc = each_number(s, s->path, s->descriptors, probe_descriptor);
    if (rc == -EACCES || rc == -EPERM)
        return !s->any && may_be_kin(s, name) ? rc : 0;
    return rc == -ENOENT || rc == -ESRCH ? 0 : rc; /* it has ended */
}

static int search_all(struct search *s)
{
    const int rc = (int)velo_os_readlinkat(AT_FDCWD, "/proc/self", s->own, sizeof s->own - 1);
    return rc > 0 ? each_number(s, "/proc", s->processes, probe_process) : rc;
}

int velo_open_files(const struct velo_region *region, const char *file, velo_open_file_visit see,
                    void *context)
{
    struct search *s = velo_os_memory(sizeof *s);
    if (s == NULL)
        return -ENOMEM;
    s->region = region;
    s->file = file;
    s->see = see;
    s->context = context;
    const int rc = search_all(s);
    velo_os_unmap(s, sizeof *s);
    return rc;
}

static int is_one(void *context, uint32_t other, int fd, const char *rest)
{
    const struct search *s = context;
    (void)other;
    (void)rest;
    return s->is_wanted == NULL || s->is_wanted(s->wanted, s->pid, fd);
}

uint32_t velo_open_by(const struct velo_region *region, const char *file)
{
    return velo_open_by_wanted(region, file, NULL, NULL);
}

uint32_t velo_open_by_wanted(const struct velo_region *region, const char *file,
                             velo_stranger is_wanted, void *context)
{
    struct search *s = velo_os_memory(sizeof *s);
    if (s == NULL)
        return 0;
    s->region = region;
    s->file = file;
    s->see = is_one;
    s->context = s;
    s->is_wanted = is_wanted;
    s->wanted = context;
    s->any = 1;
    const uint32_t pid = search_all(s) == 1 ? s->pid : 0;
    velo_os_unmap(s, sizeof *s);
    return pid;
}

static int is_other(void *context, uint32_t other, int fd, const char *rest)
{
    (void)rest;
    return other != 0 || fd != *(const int *)context;
}

int velo_open_files_name(int fd, char file[PATH_MAX])
{
    char path[14 + VELO_DECIMAL_MAX] = "/proc/self/fd/";
    velo_write_decimal(path + 14, (uint64_t)fd);
    const long length = velo_os_readlinkat(AT_FDCWD, path, file, PATH_MAX - 1);
    if (length >= 0)
        file[length] = 0;
    return length < 0 ? (int)length : 0;
}

int velo_somebody_has(const struct velo_region *region, int fd)
{
    char file[PATH_MAX];
    if (velo_open_files_name(fd, file) != 0)
        return 1;
    return velo_open_files(region, file, is_other, &fd) != 0; /* also when it cannot be known */
}
