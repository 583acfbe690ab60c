/* special.c - a program opened a path that is no file of the tree: it may read something else there next time. */
#include "special.h"

#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include "kernel/text.h"
#include "preload/base/raw.h"
#include "preload/path/claim.h"

bool velo_leads_below(const char *path, const char *directory)
{
    for (;;) {
        directory += strspn(directory, "/");
        while (path[0] == '/' || (path[0] == '.' && (path[1] == '/' || path[1] == 0)))
            path++;
        const size_t length = strcspn(directory, "/");
        if (length == 0)
            return true;
        if (strncmp(path, directory, length) != 0 || (path[length] != '/' && path[length] != 0))
            return false;
        path += length;
        directory += length;
    }
}

/* Some build in /dev/shm. */
bool velo_is_special(const char *text)
{
    return strncmp(text, "/proc/", 6) == 0 || strncmp(text, "/sys/", 5) == 0 ||
           (strncmp(text, "/dev/", 5) == 0 &&
            !velo_leads_below(text, velo_workspace_of(velo_here())));
}

uint16_t velo_columns_of(int fd)
{
    struct winsize size = {0};
    return velo_sys3(SYS_ioctl, fd, TIOCGWINSZ, velo_word(&size)) == 0 ? size.ws_col : 0;
}

bool velo_is_null(const struct stat *stat)
{
    return S_ISCHR(stat->st_mode) && stat->st_rdev == makedev(1, 3);
}

static bool is_harmless(const char *text)
{
    static const char *const harmless[] = {
        "/dev/null",      "/dev/zero",         "/dev/full", "/proc/self/maps",
        "/proc/self/exe", "/proc/filesystems", NULL};
    /* xargs closes these for its programs. */
    const bool closes =
        strcmp(text, "/proc/self/fd") == 0 && strcmp(program_invocation_short_name, "xargs") == 0;
    return closes || velo_is_one_of(text, harmless);
}

/* A process that checked such a fact would look at itself. The key of the step tells of its program anyway. */
static bool is_of_the_asker(const char *text)
{
    static const char *const files[] = {"/proc/self/exe", "/proc/self/maps", NULL};
    return velo_is_one_of(text, files);
}

/* Runtimes ask once how large their pools are to be. */
static bool is_of_resources(const char *text)
{
    static const char *const files[] = {
        "/proc/self/cgroup", "/proc/self/statm", "/proc/self/mountinfo",           "/proc/meminfo",
        "/proc/cpuinfo",     "/proc/stat",       "/proc/sys/vm/overcommit_memory", NULL};
    static const char *const directories[] = {"/sys/fs/cgroup/", "/sys/devices/system/cpu/",
                                              "/sys/kernel/mm/transparent_hugepage/", NULL};
    return velo_is_one_of(text, files) || velo_begins_like_one_of(text, directories);
}

/* ---- job servers ----------------------------------------------------------------------------- */

/* What `--jobserver-auth=fifo:PATH` or `=R,W` names: tokens of a job slot are no input. */
static struct {
    int fds[2];
    char fifo[128];
} jobserver = {.fds = {-1, -1}};

static void learn_jobserver(const char *flags)
{
    static const char *const words[] = {"--jobserver-auth=", "--jobserver-fds="};
    for (size_t i = 0; flags != NULL && i < 2; i++) {
        const char *found = strstr(flags, words[i]);
        if (found == NULL)
            continue;
        found += strlen(words[i]);
        const size_t length = strcspn(found, " ");
        if (strncmp(found, "fifo:", 5) == 0 && length - 5 < sizeof jobserver.fifo) {
            memcpy(jobserver.fifo, found + 5, length - 5);
        } else {
            jobserver.fds[0] = atoi(found);
            jobserver.fds[1] = atoi(found + strcspn(found, ",") + 1);
        }
    }
}

void velo_special_begin(void)
{
    learn_jobserver(velo_variable("MAKEFLAGS"));
    learn_jobserver(velo_variable("CARGO_MAKEFLAGS"));
}

bool velo_is_jobserver(int fd)
{
    return fd >= 0 && (fd == jobserver.fds[0] || fd == jobserver.fds[1]);
}

static bool is_jobserver(const char *text)
{
    return velo_is_jobserver(velo_fd_of_path(text)) ||
           (jobserver.fifo[0] != 0 && strcmp(text, jobserver.fifo) == 0);
}

/* ---------------------------------------------------------------------------------------------- */

static bool only_asks(enum velo_record_kind kind)
{
    return kind == VELO_RECORD_STAT || kind == VELO_RECORD_ACCESS || kind == VELO_RECORD_ABSENT ||
           kind == VELO_RECORD_LSTAT;
}

/* bash opens the terminal once, at its start, closes it again, and goes on as if there were none or as if there were
 * one. A script that reads from the terminal opens it with other flags, an interactive bash a second time. */
bool velo_is_start_of_bash(const char *path, int flags)
{
    static const char *const names[] = {"bash", "sh", NULL};
    static atomic_flag has_started = ATOMIC_FLAG_INIT;
    return (flags & ~O_LARGEFILE) == (O_RDWR | O_NONBLOCK) && strcmp(path, "/dev/tty") == 0 &&
           velo_is_one_of(program_invocation_short_name, names) &&
           !atomic_flag_test_and_set(&has_started);
}

bool velo_is_no_file(enum velo_record_kind kind, unsigned flags, const char *text,
                     enum velo_taint *reason)
{
    if (is_jobserver(text))
        return true;
    if (!velo_is_special(text) || (only_asks(kind) && !is_of_the_asker(text)))
        return false;
    if (kind == VELO_RECORD_READ && is_of_resources(text))
        *reason = VELO_TAINT_RESOURCES;
    else if (kind == VELO_RECORD_READ && strcmp(text, "/dev/urandom") == 0)
        *reason = VELO_TAINT_RANDOM;
    else if (kind == VELO_RECORD_ERROR && flags == ENXIO && strcmp(text, "/dev/tty") == 0)
        *reason = VELO_TAINT_NO_TERMINAL;
    else if (!is_harmless(text))
        *reason = VELO_TAINT_DEVICE;
    return true;
}
