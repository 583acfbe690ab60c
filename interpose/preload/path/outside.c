/* outside.c - symlinks outside hosted directories that lead into them.
 *
 * A path like "/tmp/link/a.o" says nothing about memory. The kernel follows the link, for directories
 * stand on disk; so it is asked once which directory holds the last component. If that directory is not
 * hosted, it is remembered by its text, in a page of hashes that belongs to this process: the next path
 * in it costs a hash. All is forgotten when a process makes a symlink outside. A hosted directory is
 * walked from its node, as from a directory descriptor.
 *
 * The last component may be a symlink itself. That is asked only in directories with a symlink that
 * leads in (inbound_symlinks.c), and only of names that such links have (core/tree/links.c). */
#include "outside.h"

#include "kernel/os.h"
#include "preload/base/raw.h"
#include "inbound_symlinks.h"
#include "claim.h"

#define PLAIN_MAX 512u /* directories: one page */
#define FOLLOWED_MAX 8

/* A key, and HAS_LINKS when a symlink in there may lead in. */
static _Atomic uint64_t plain[PLAIN_MAX];
#define HAS_LINKS 2u

/* Of a text of `length` bytes; never 0, and without HAS_LINKS. */
static uint64_t key_of(const struct velo_region *region, uint64_t seed, const char *text,
                       size_t length)
{
    const uint64_t factor = 0x9e3779b97f4a7c15u;
    uint64_t key = seed ^ length * factor ^ velo_outside_epoch(region);
    for (; length > 0;) {
        uint64_t word = 0;
        const size_t part = length < sizeof word ? length : sizeof word;
        memcpy(&word, text, part);
        key = (key ^ word) * factor;
        key ^= key >> 29;
        text += part;
        length -= part;
    }
    return (key | 1) & ~(uint64_t)HAS_LINKS;
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

size_t velo_last_of(const char *path)
{
    return before(path, strlen(path));
}

/* The hosted directory that the kernel finds before `last`: a node, 0 when it is not hosted, -errno. For 0,
 * *links (or NULL) becomes whether a symlink in the directory may lead in. */
__attribute__((noinline)) static long directory_of(struct velo_region *region, int at,
                                                   const char *path, size_t last, bool *links)
{
    char parent[PATH_MAX];
    struct stat stat;
    if (last >= sizeof parent)
        return -ENAMETOOLONG;
    memcpy(parent, path, last);
    parent[last] = 0; /* with its slash: a directory, or an error */
    const long rc = raw_statat(at, parent, &stat, 0);
    const long node = rc != 0 ? rc : (long)velo_node_of(region, &stat).slot;
    if (node == 0 && links != NULL)
        *links = velo_scan_outside(region, at, parent, &stat);
    return node;
}

static int enter(struct velo_region *region, velo_node_id node, const char *rest, unsigned flags,
                 struct velo_place *place)
{
    const int rc = velo_walk_at(region, node, rest, flags, place);
    return rc != 0 ? rc : place->at.kind == VELO_HOSTED ? VELO_OURS : VELO_NOT_OURS;
}

/* A symlink stands at absolute `path`, perhaps. Where it leads, in `text`, or false. */
static bool resolve_link(const char *path, size_t last, char text[PATH_MAX])
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
                              uint64_t seed, unsigned flags, struct velo_place *place, bool *links);

/* `path` from `at` on as an absolute text. */
static bool absolute(int at, const char *path, char text[PATH_MAX])
{
    char link[VELO_FD_PATH_MAX];
    long length = 0;
    if (path[0] != '/') {
        velo_path_of_fd(VELO_SELF, at, link);
        length = raw_readlink(AT_FDCWD, link, text, PATH_MAX - 1);
        if (length <= 0 || text[0] != '/')
            return false;
        text[length++] = '/';
    }
    if ((size_t)length + strlen(path) >= PATH_MAX)
        return false;
    strcpy(text + length, path);
    return true;
}

static int claim_link_in(struct velo_region *region, int at, const char *path, unsigned flags,
                         struct velo_place *place, char text[PATH_MAX], char next[PATH_MAX])
{
    bool links;
    if (!absolute(at, path, text))
        return VELO_NOT_OURS;
    for (int followed = 0; followed < FOLLOWED_MAX; followed++) {
        if (!resolve_link(text, velo_last_of(text), next))
            return VELO_NOT_OURS;
        strcpy(text, next);
        if (velo_may_reach_hosted(region, text)) {
            const int rc = velo_walk(region, text, flags, place);
            return rc != 0 ? rc : place->at.kind == VELO_HOSTED ? VELO_OURS : VELO_NOT_OURS;
        }
        const int claimed =
            claim_in_directory(region, AT_FDCWD, text, velo_last_of(text), 0, flags, place, &links);
        if (claimed != VELO_NOT_OURS)
            return claimed;
    }
    return VELO_NOT_OURS;
}

/* Such links are rare, and two more paths too many for a small stack: mapped. */
static int claim_link(struct velo_region *region, int at, const char *path, unsigned flags,
                      struct velo_place *place)
{
    char *texts = velo_os_memory(2 * PATH_MAX);
    if (texts == NULL)
        return VELO_NOT_OURS;
    const int rc = claim_link_in(region, at, path, flags, place, texts, texts + PATH_MAX);
    velo_os_unmap(texts, 2 * PATH_MAX);
    return rc;
}

/* The kernel could not go on at `last`: at a link to a file that only memory has? */
static int claim_beyond_link(struct velo_region *region, int at, const char *path, size_t last,
                             struct velo_place *place)
{
    const size_t length = strcspn(path + last, "/");
    if (!velo_link_known(region, path + last, length))
        return VELO_NOT_OURS;
    char *text = velo_os_memory(PATH_MAX);
    if (text == NULL)
        return VELO_NOT_OURS;
    memcpy(text, path, last + length); /* and a zero */
    const int claimed = claim_link(region, at, text, 0, place);
    velo_os_unmap(text, PATH_MAX);
    if (claimed != VELO_OURS)
        return claimed;
    return place->at.type == VELO_NONE ? -ENOENT : -ENOTDIR;
}

/* *links: may a symlink in that directory lead in? */
static int claim_in_directory(struct velo_region *region, int at, const char *path, size_t last,
                              uint64_t seed, unsigned flags, struct velo_place *place, bool *links)
{
    const uint64_t key = key_of(region, seed, path, last);
    _Atomic uint64_t *slot = &plain[key / 4 % PLAIN_MAX];
    const uint64_t seen = atomic_load_explicit(slot, memory_order_relaxed);
    *links = seen == (key | HAS_LINKS);
    if (last == 0 || *links || seen == key)
        return VELO_NOT_OURS;
    size_t known = last;
    long node = directory_of(region, at, path, known, links);
    while (node < 0 &&
           (known = before(path, known)) > 1) { /* a file in memory is none to the kernel */
        bool above = false;
        node = directory_of(region, at, path, known, &above);
        if (node == 0 && above)
            return claim_beyond_link(region, at, path, known, place);
    }
    if (node > 0)
        return enter(region, velo_node_from((uint32_t)node), path[known] != 0 ? path + known : ".",
                     flags, place);
    atomic_store_explicit(slot, *links ? key | HAS_LINKS : key, memory_order_relaxed);
    return VELO_NOT_OURS;
}

int velo_claim_outside(struct velo_region *region, int at, const char *path, uint64_t seed,
                       unsigned flags, struct velo_place *place)
{
    const size_t length = strlen(path);
    const bool is_directory = path[length - 1] == '/' && (flags & VELO_WALK_LAST) == 0;
    const size_t last = is_directory ? length : before(path, length);
    bool links;
    const int claimed = claim_in_directory(region, at, path, last, seed, flags, place, &links);
    if (claimed != VELO_NOT_OURS || !links || (flags & VELO_WALK_NOFOLLOW) != 0 ||
        path[last] == 0 || !velo_link_known(region, path + last, length - last))
        return claimed;
    return claim_link(region, at, path, flags, place);
}

int velo_claim_entry(struct velo_region *region, int fd, const struct stat *stat, const char *name,
                     unsigned flags, struct velo_place *place)
{
    if ((flags & VELO_WALK_NOFOLLOW) != 0 || !velo_scan_outside(region, fd, ".", stat) ||
        !velo_link_known(region, name, strlen(name)))
        return VELO_NOT_OURS;
    return claim_link(region, fd, name, flags, place);
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
    const size_t last = velo_last_of(path);
    const long node = directory_of(region, AT_FDCWD, path, last, NULL);
    if (node < 0)
        return (int)node;
    return node == 0 ? VELO_NOT_OURS
                     : enter(region, velo_node_from((uint32_t)node), path + last, flags, place);
}

/* ---- links as they are made ------------------------------------------------------------------ */

/* A link that leads in stands at absolute `path`. */
static void note(struct velo_region *region, char *path)
{
    struct stat stat;
    const size_t last = velo_last_of(path);
    velo_link_note(region, path + last, strlen(path + last));
    path[last] = 0;
    if (raw_statat(AT_FDCWD, path, &stat, 0) != 0)
        return;
    velo_scan_outside(region, AT_FDCWD, path, &stat); /* for other links there, if not done yet */
    velo_scanned_keep(region, &stat, VELO_LINKS);
}

void velo_link_made(struct velo_region *region, int dirfd, const char *path)
{
    struct velo_place link;
    if (velo_resolve(dirfd, path, VELO_WALK_NOFOLLOW, &link) == 0 &&
        velo_is_inbound(region, link.text.path))
        note(region, link.text.path);
    velo_outside_changed(region);
}

void velo_link_moved(struct velo_region *region, const char *from, int to_fd, const char *to)
{
    struct velo_place place;
    const char *name = from + velo_last_of(from);
    if (!velo_link_known(region, name, strlen(name)))
        return;
    if (velo_resolve(to_fd, to, VELO_WALK_NOFOLLOW, &place) == 0)
        note(region, place.text.path);
    velo_outside_changed(region);
}
