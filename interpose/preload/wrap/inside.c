/* inside.c - functions of libc that open or stat files by calls in front of which no library can stand:
 * message catalogues, locales, tables of mounts and of users, keys made from files, profiles.
 *
 * Where libc only needs a stream or a stat it is given ours. Where libc reads by itself, the files that it may read
 * are put on disk first, and the unit is told: of one file by an open of ours, else that it cannot be replayed. Where
 * libc writes by itself, the process leaves the namespace. */
#include "inside.h"

#include <iconv.h>
#include <locale.h>
#include <mntent.h>
#include <nl_types.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <sys/gmon.h>
#include <sys/ipc.h>
#include <unistd.h>
#include <utmp.h>

#include "preload/path/claim.h"
#include "preload/program/opaque.h"
#include "preload/replay/unit.h"
#include "walk.h"

/* Packages change these, and ld.so.cache tells (shards/replay/questions.py). */
bool velo_is_of_the_system(const char *path)
{
    return strncmp(path, "/usr/", 5) == 0 || strncmp(path, "/opt/", 5) == 0;
}

void velo_libc_reads(const char *path)
{
    struct velo_place place;
    struct velo_region *region = velo_here();
    if (region == NULL || path == NULL || velo_is_of_the_system(path))
        return;
    const int saved = errno;
    const int fd = velo_unit == NULL ? -1 : open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
    if (velo_claim(AT_FDCWD, path, 0, &place) == VELO_OURS && place.at.type == VELO_REGULAR)
        velo_writeback(region, place.at.node, 0);
    errno = saved;
}

/* ---- lists in the environment ---------------------------------------------------------------- */

enum {
    HOSTED = 1, /* an item leads to something of ours */
    UNSEEN = 2, /* one is not the system's: its files are no facts of a unit */
};

/* Items have colons between; "%N" and what follows is a pattern of libc's. */
static int items_of(const char *list)
{
    char item[PATH_MAX];
    struct velo_place place;
    for (int found = 0;; list++) {
        const size_t whole = strcspn(list, ":");
        size_t length = strcspn(list, ":%");
        while (length < whole && length > 0 && list[length - 1] != '/')
            length--; /* "dir/%N.cat": the directory */
        if (whole > 0 && !velo_is_of_the_system(list))
            found |= UNSEEN;
        if (length > 0 && length < sizeof item && list[0] == '/') {
            memcpy(item, list, length);
            item[length] = 0;
            if (velo_claim(AT_FDCWD, item, 0, &place) == VELO_OURS && place.at.type != VELO_NONE)
                found |= HOSTED;
        }
        list += whole;
        if (*list == 0)
            return found;
    }
}

/* libc looks along the list that is the variable's value. */
static void reads_along(const char *variable)
{
    const char *list = velo_variable(variable);
    struct velo_region *region = list == NULL ? NULL : velo_here();
    const int items = region == NULL ? 0 : items_of(list);
    const int saved = errno;
    if ((items & HOSTED) != 0)
        velo_flush_tree(region);
    if ((items & UNSEEN) != 0)
        velo_taint(VELO_TAINT_INSIDE);
    errno = saved;
}

EXPORT nl_catd catopen(const char *name, int flag)
{
    if (name != NULL && strchr(name, '/') != NULL)
        velo_libc_reads(name);
    else
        reads_along("NLSPATH");
    return NEXT(catopen)(name, flag);
}

EXPORT char *setlocale(int category, const char *name)
{
    if (name != NULL)
        reads_along("LOCPATH");
    return NEXT(setlocale)(category, name);
}

EXPORT locale_t newlocale(int categories, const char *name, locale_t base)
{
    reads_along("LOCPATH");
    return NEXT(newlocale)(categories, name, base);
}
ALIAS(__newlocale, newlocale);

EXPORT iconv_t iconv_open(const char *to, const char *from)
{
    reads_along("GCONV_PATH");
    return NEXT(iconv_open)(to, from);
}

/* Converters are loaded by streams, too; names of hosts are looked for by whatever resolves them. */
__attribute__((constructor(103))) static void reads_of_the_start(void)
{
    reads_along("GCONV_PATH");
    velo_libc_reads(velo_variable("HOSTALIASES"));
}

/* ---- what libc writes ------------------------------------------------------------------------ */

static void writes(const char *path)
{
    struct velo_place place;
    struct velo_region *region = velo_here();
    if (region == NULL || path == NULL)
        return;
    velo_taint(VELO_TAINT_INSIDE);
    if (velo_claim(AT_FDCWD, path, 0, &place) != VELO_NOT_OURS)
        velo_leave_unreachable(region);
}

/* From here on all of the family reads and writes that table of users. */
EXPORT int utmpname(const char *path)
{
    writes(path);
    return NEXT(utmpname)(path);
}
ALIAS(utmpxname, utmpname);

EXPORT void updwtmp(const char *path, const struct utmp *entry)
{
    writes(path);
    NEXT(updwtmp)(path, entry);
}
ALIAS(updwtmpx, updwtmp);

/* The end of a program that was built with -pg. */
EXPORT void _mcleanup(void)
{
    const char *prefix = velo_variable("GMON_OUT_PREFIX");
    writes(prefix != NULL ? prefix : "gmon.out");
    NEXT(_mcleanup)();
}

/* ---- tables and keys ------------------------------------------------------------------------- */

EXPORT FILE *setmntent(const char *path, const char *mode)
{
    char with[16];
    const size_t length = strlen(mode);
    if (length > sizeof with - 3)
        return NEXT(setmntent)(path, mode);
    memcpy(with, mode, length);
    memcpy(with + length, "ce", 3); /* as libc's: no cancellation, closed on exec */
    FILE *stream = fopen(path, with);
    if (stream != NULL)
        __fsetlocking(stream, FSETLOCKING_BYCALLER);
    return stream;
}
ALIAS(__setmntent, setmntent);

EXPORT key_t ftok(const char *path, int project)
{
    struct stat file;
    if (stat(path, &file) != 0)
        return -1;
    return (key_t)((file.st_ino & 0xffff) | (file.st_dev & 0xff) << 16 |
                   (unsigned)(project & 0xff) << 24);
}
