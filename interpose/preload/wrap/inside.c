/* inside.c - functions of libc that open or stat files by calls in front of which no library can stand:
 * message catalogues, tables of mounts, keys made from files, files that the environment names.
 *
 * Where libc only needs a stream or a stat it is given ours; where libc opens by itself, later, the files
 * that it may open are put on disk first. */
#include <libintl.h>
#include <mntent.h>
#include <nl_types.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <sys/ipc.h>
#include <unistd.h>

#include "preload/path/claim.h"
#include "dir.h"
#include "walk.h"

/* ---- texts that may name hosted files -------------------------------------------------------- */

/* Does an item of a list (colons between; "%N" and what follows is a pattern of libc's) lead to
 * something of ours? */
static bool names_hosted(const char *list, bool only_absolute)
{
    char item[PATH_MAX];
    struct velo_place place;
    for (;;) {
        const size_t whole = strcspn(list, ":");
        size_t length = strcspn(list, ":%");
        while (length < whole && length > 0 && list[length - 1] != '/')
            length--; /* "dir/%N.cat": the directory */
        if (length > 0 && length < sizeof item && (list[0] == '/' || !only_absolute)) {
            memcpy(item, list, length);
            item[length] = 0;
            if (velo_claim(AT_FDCWD, item, 0, &place) == VELO_OURS && place.at.type != VELO_NONE)
                return true;
        }
        if (list[whole] == 0)
            return false;
        list += whole + 1;
    }
}

static const char *const variables[] = {"LOCPATH=", "NLSPATH=", "GCONV_PATH=", "TZDIR=", "TZ="};

static bool environment_names_hosted(void)
{
    for (char **entry = environ; entry != NULL && *entry != NULL; entry++) {
        if ((*entry)[0] != 'L' && (*entry)[0] != 'N' && (*entry)[0] != 'G' && (*entry)[0] != 'T')
            continue;
        for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
            const size_t length = strlen(variables[i]);
            if (strncmp(*entry, variables[i], length) == 0 && names_hosted(*entry + length, true))
                return true;
        }
    }
    return false;
}

/* Time zones, locales and converters are read at any time from then on. */
__attribute__((constructor(103))) static void flush_what_environment_names(void)
{
    struct velo_region *region = velo_here();
    if (region != NULL && environment_names_hosted())
        velo_flush_tree(region);
}

/* ---- messages -------------------------------------------------------------------------------- */

EXPORT nl_catd catopen(const char *name, int flag)
{
    struct velo_region *region = velo_here();
    if (region != NULL && name != NULL && strchr(name, '/') != NULL && names_hosted(name, false))
        velo_flush_tree(region);
    return NEXT(catopen)(name, flag);
}

EXPORT char *bindtextdomain(const char *domain, const char *directory)
{
    struct velo_region *region = velo_here();
    if (region != NULL && directory != NULL && names_hosted(directory, false))
        velo_flush_tree(region);
    return NEXT(bindtextdomain)(domain, directory);
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
