/* census.c - which processes have which files of the arena: one scan of /proc for all of them.
 *
 * In    the name of one such file
 * Out   each descriptor of this process with its file, and for each file that another process has, or that
 *       is mapped here, a mark
 * Never a file without its mark because something could not be read: then there is no census at all. */
#include <sys/mman.h>

#include "census.h"
#include "kernel/os.h"
#include "kernel/text.h"
#include "preload/base/raw.h"

#define HEX_DIGITS 16u

static bool enter(struct velo_census *census, uint64_t backing, int fd)
{
    if (census->count == VELO_CENSUS_MAX)
        return false;
    census->had[census->count++] = (struct velo_had){backing, fd};
    return true;
}

/* Without a name it is followed by " (deleted)", and is found by its number all the same. */
static int see(void *context, uint32_t other, int fd, const char *rest)
{
    uint64_t backing;
    if (!velo_read_hex(rest, HEX_DIGITS, &backing))
        return 0;
    return enter(context, backing, other == 0 ? fd : VELO_NOT_OURS_ALONE) ? 0 : -E2BIG;
}

/* Marks what `text` names below `directory`. */
static bool see_maps(struct velo_census *census, const char *text, size_t size,
                     const char *directory, size_t length)
{
    const char *at = text, *end = text + size;
    uint64_t backing;
    while ((at = memmem(at, (size_t)(end - at), directory, length)) != NULL) {
        at += length;
        if ((size_t)(end - at) >= HEX_DIGITS && velo_read_hex(at, HEX_DIGITS, &backing) &&
            !enter(census, backing, VELO_NOT_OURS_ALONE))
            return false;
    }
    return true;
}

static bool scan_maps(struct velo_census *census, const char *directory, size_t length)
{
    const long fd = raw_openat(AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC, 0);
    const size_t least = length + HEX_DIGITS; /* a name may lie across two reads */
    bool good = fd >= 0;
    size_t kept = 0;
    long got = 0;
    while (good && (got = velo_sys3(SYS_read, fd, velo_word(census->maps + kept),
                                    (long)(sizeof census->maps - kept))) > 0) {
        const size_t have = kept + (size_t)got;
        good = see_maps(census, census->maps, have, directory, length);
        kept = have < least ? have : least;
        memmove(census->maps, census->maps + have - kept, kept);
    }
    if (fd >= 0)
        raw_close((int)fd);
    return good && got == 0;
}

/* Shell's: nothing is allocated, and thousands take a millisecond. */
static void sort(struct velo_had *had, unsigned count)
{
    for (unsigned gap = count / 2; gap > 0; gap /= 2)
        for (unsigned i = gap; i < count; i++) {
            const struct velo_had one = had[i];
            unsigned at = i;
            for (; at >= gap && had[at - gap].backing > one.backing; at -= gap)
                had[at] = had[at - gap];
            had[at] = one;
        }
}

struct velo_census *velo_census_take(const struct velo_region *region, const char *file)
{
    char directory[PATH_MAX];
    const char *slash = strrchr(file, '/');
    const size_t length = slash == NULL ? 0 : (size_t)(slash + 1 - file);
    if (length == 0 || length >= sizeof directory)
        return NULL;
    memcpy(directory, file, length);
    directory[length] = 0;
    struct velo_census *census = velo_os_memory(sizeof *census);
    if (census == NULL)
        return NULL;
    if (!scan_maps(census, directory, length) ||
        velo_open_files(region, directory, see, census) != 0) {
        velo_census_free(census);
        return NULL;
    }
    sort(census->had, census->count);
    return census;
}

void velo_census_free(struct velo_census *census)
{
    velo_os_unmap(census, sizeof *census);
}
