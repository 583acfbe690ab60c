/* outside.c - symlinks outside hosted directories that lead into them.
 *
 * A path like "/tmp/link/a.o" says nothing about memory. The kernel follows the link, for directories
 * stand on disk; so it is asked once which directory holds the last component. If that is none of
 * ours, it is remembered by its text, in a page of hashes that belongs to this process: the next path
 * in it costs a hash. All is forgotten when anybody makes a symlink outside. A hosted one is walked from its node, as from a directory descriptor.
 *
 * Whether the last component itself is a symlink is not asked, except where one may stand (links.c). */
#include "outside.h"

#include "../core/layout.h"
#include "../core/os.h"
#include "raw.h"

#define PLAIN_MAX 512u /* directories: one page */
#define FOLLOWED_MAX 8

static _Atomic uint64_t plain[PLAIN_MAX];

/* Of a text of `length` bytes; never 0. */
static uint64_t key_of(const struct velo_region *region, uint64_t seed, const char *text,
                       size_t length)
{
    const uint64_t factor = 0x9e3779b97f4a7c15u;
    uint64_t key = seed ^ length * factor ^
                   atomic_load_explicit(&region->header->outside_epoch, memory_order_relaxed);
    for (; length > 0;) {
        uint64_t word = 0;
        const size_t part = length < sizeof word ? length : sizeof word;
        memcpy(&word, text, part);
        key = (key ^ word) * factor;
        key ^= key >> 29;
        text += part;
        length -= part;
    }
    return key | 1;
}

/* Where the component before `end` begins; 0 when there is no directory before it. */
static size_t before(const char *path, size_t end)
{
    while (end > 1 && path[end - 1] == '/')
        end--;
    while (end > 0 && path[end - 1] != '/')
        end--;
    return end;
}

/* Where the last component begins; a slash at the end belongs to it. */
static size_t last_of(const char *path)
{
    return before(path, strlen(path));
}

/* The hosted directory that the kernel finds before `last`: a node, 0 for none of ours, -errno. */
__attribute__((noinline)) static long directory_of(struct velo_region *region, int at,
                                                   const char *path, size_t last)
{
    char parent[PATH_MAX];
    struct stat stat;
    if (last >= sizeof parent)
        return -ENAMETOOLONG;
    memcpy(parent, path, last);
    parent[last] = 0; /* with its slash: a directory, or an error */
    const long rc = raw_statat(at, parent, &stat, 0);
    return rc != 0 ? rc : (long)velo_node_of(region, &stat);
}

static int enter(struct velo_region *region, uint32_t node, const char *rest, unsigned flags,
                 struct velo_place *place)
{
    const int rc = velo_walk_at(region, node, rest, flags, place);
    return rc != 0 ? rc : place->kind == VELO_HOSTED ? VELO_OURS : VELO_NOT_OURS;
}

/* A symlink stands at absolute `path`, perhaps. Where it leads, in `text`, or false. */
static bool follow(const char *path, size_t last, char text[PATH_MAX])
{
    char target[PATH_MAX];
    const long length = raw_readlink(AT_FDCWD, path, target, sizeof target);
    const size_t kept = length > 0 && target[0] == '/' ? 0 : last;
    if (length <= 0 || kept + (size_t)length >= PATH_MAX)
        return false;
    memcpy(text, path, kept);
    memcpy(text + kept, target, (size_t)length);
    text[kept + (size_t)length] = 0;
    return true;
}

static int claim_in_directory(struct velo_region *region, int at, const char *path, size_t last,
                              uint64_t seed, unsigned flags, struct velo_place *place)
{
    const uint64_t key = key_of(region, seed, path, last);
    _Atomic uint64_t *slot = &plain[key / 2 % PLAIN_MAX];
    if (last <= 1 || atomic_load_explicit(slot, memory_order_relaxed) == key)
        return VELO_NOT_OURS;
    size_t known = last;
    long node = directory_of(region, at, path, known);
    while (node < 0 && (known = before(path, known)) > 1) /* a file in memory is none to the kernel */
        node = directory_of(region, at, path, known);
    if (node > 0)
        return enter(region, (uint32_t)node, path[known] != 0 ? path + known : ".", flags, place);
    atomic_store_explicit(slot, key, memory_order_relaxed);
    return VELO_NOT_OURS;
}

static int claim_link_in(struct velo_region *region, const char *path, unsigned flags,
                         struct velo_place *place, char text[PATH_MAX], char next[PATH_MAX])
{
    strcpy(text, path);
    for (int followed = 0; followed < FOLLOWED_MAX; followed++) {
        if (!follow(text, last_of(text), next))
            return VELO_NOT_OURS;
        strcpy(text, next);
        if (velo_may_lead_in(region, text)) {
            const int rc = velo_walk(region, text, flags, place);
            return rc != 0 ? rc : place->kind == VELO_HOSTED ? VELO_OURS : VELO_NOT_OURS;
        }
        const int claimed =
            claim_in_directory(region, AT_FDCWD, text, last_of(text), 0, flags, place);
        if (claimed != VELO_NOT_OURS)
            return claimed;
    }
    return VELO_NOT_OURS;
}

/* Such links are rare, and two more paths too many for a small stack: mapped. */
static int claim_link(struct velo_region *region, const char *path, unsigned flags,
                      struct velo_place *place)
{
    if (strlen(path) >= PATH_MAX)
        return VELO_NOT_OURS;
    const long texts = velo_os_map(2 * PATH_MAX);
    if (texts < 0 && texts > -4096)
        return VELO_NOT_OURS;
    const int rc =
        claim_link_in(region, path, flags, place, (char *)texts, (char *)texts + PATH_MAX);
    velo_os_unmap(texts, 2 * PATH_MAX);
    return rc;
}

int velo_claim_outside(struct velo_region *region, int at, const char *path, uint64_t seed,
                       unsigned flags, struct velo_place *place)
{
    const size_t length = strlen(path);
    const bool is_directory = path[length - 1] == '/' && (flags & VELO_WALK_NOFOLLOW) == 0;
    const size_t last = is_directory ? length : before(path, length);
    const int claimed = claim_in_directory(region, at, path, last, seed, flags, place);
    if (claimed != VELO_NOT_OURS || (flags & VELO_WALK_NOFOLLOW) != 0 || path[0] != '/' ||
        !velo_link_known(region, path, strlen(path)))
        return claimed;
    return claim_link(region, path, flags, place);
}

/* ---- ".." after a symlink -------------------------------------------------------------------- */

bool velo_goes_up_inside(const char *path)
{
    const char *up = path;
    while ((up = strstr(up, "/..")) != NULL) {
        if (up[3] == '/' || up[3] == 0) {
            const char *before = up;
            while (before > path && before[-1] != '/')
                before--;
            const size_t length = (size_t)(up - before);
            const bool is_dots = (length == 1 && before[0] == '.') ||
                                 (length == 2 && before[0] == '.' && before[1] == '.');
            if (length > 0 && !is_dots)
                return true;
        }
        up += 3;
    }
    return false;
}

int velo_claim_by_directory(struct velo_region *region, const char *path, unsigned flags,
                            struct velo_place *place)
{
    const size_t last = last_of(path);
    const long node = directory_of(region, AT_FDCWD, path, last);
    if (node < 0)
        return (int)node;
    return node == 0 ? VELO_NOT_OURS : enter(region, (uint32_t)node, path + last, flags, place);
}

/* ---- links as they are made ------------------------------------------------------------------ */

void velo_link_made(struct velo_region *region, int dirfd, const char *path)
{
    struct velo_place link;
    char text[PATH_MAX];
    atomic_fetch_add(&region->header->outside_epoch, 1);
    if (velo_resolve(dirfd, path, VELO_WALK_NOFOLLOW, &link) != 0)
        return;
    if (follow(link.path, last_of(link.path), text) && velo_may_lead_in(region, text))
        velo_link_note(region, link.path);
}

void velo_link_moved(struct velo_region *region, int fd, const char *from, int to_fd,
                     const char *to)
{
    struct velo_place place;
    if (atomic_load_explicit(&region->header->link_count, memory_order_relaxed) == 0 ||
        velo_resolve(fd, from, VELO_WALK_NOFOLLOW, &place) != 0 ||
        !velo_link_known(region, place.path, place.path_length))
        return;
    atomic_fetch_add(&region->header->outside_epoch, 1);
    if (velo_resolve(to_fd, to, VELO_WALK_NOFOLLOW, &place) == 0)
        velo_link_note(region, place.path);
}
