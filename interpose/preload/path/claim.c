/* claim.c - from a directory descriptor and a text to a place, or to "not ours".
 *
 * The working directory is remembered: as a node where it is hosted (a rename above it changes
 * nothing then), else as text. A descriptor is asked for its identity, one fstat. Of a descriptor
 * outside the text is read from /proc, but only when the path has a component that velo.toml names:
 * nothing else leads from outside to a hosted directory.
 *
 * Invariants
 *   C1  `cwd` is believed only while cwd.epoch == cwd_epoch, no mount came since, and no directory outside was
 *       renamed; each chdir ends an epoch.  Afterwards a directory may have no path, or another one its path
 *   C2  `cwd` is written only by the thread that made cwd.sequence odd, and never in a vfork child,
 *       whose directory is its own although its memory is its parent's
 *   C3  a hosted directory in `cwd` is believed only while its slot has the same generation */
#include "claim.h"

#include "kernel/text.h"
#include "outside.h"
#include "preload/base/raw.h"

#define MAKE_WAY_MS 10000u

struct changes { /* how many there were */
    uint32_t epoch;   /* 0: nothing remembered */
    uint32_t mounts;  /* in all */
    uint32_t outside; /* of links and directories outside */
};

static struct {
    _Atomic uint32_t sequence; /* odd while written; pairs with the fence in cwd_recall */
    struct changes until;
    velo_node_id node; /* of a hosted directory, else 0 */
    uint32_t generation;
    uint32_t length;           /* of the text of one outside */
    char text[PATH_MAX];
} cwd;
static _Atomic uint32_t cwd_epoch = 1;
static _Atomic int cwd_unknowable;

void velo_cwd_changed(void)
{
    if (atomic_fetch_add(&cwd_epoch, 1) == UINT32_MAX)
        atomic_store(&cwd_epoch, 1);
}

void velo_cwd_unknowable(void)
{
    atomic_store(&cwd_unknowable, 1);
}

/* ---- which texts can lead in ----------------------------------------------------------------- */

/* Does a component of `text` end a pattern? From outside nothing else leads into a hosted
 * directory, because those begin where the collapsed text of a path matches one. */
static bool names_a_pattern(const struct velo_region *region, const char *text)
{
    while (*text != 0) {
        while (*text == '/')
            text++;
        size_t length = 0;
        while (text[length] != 0 && text[length] != '/')
            length++;
        if (length > 0 && velo_ends_pattern(region, text, length))
            return true;
        text += length;
    }
    return false;
}

/* velo_may_host does not know "..": gcc's "/usr/lib/gcc/../../include" is everyday. */
bool velo_may_reach_hosted(const struct velo_region *region, const char *text)
{
    return (velo_may_host(region, text) != 0 || strstr(text, "/..") != NULL) &&
           names_a_pattern(region, text);
}

/* ---- the working directory ------------------------------------------------------------------- */

struct base { /* where a relative path starts */
    velo_node_id node;   /* hosted directory; none: by text */
    uint32_t length; /* of the text; no trailing slash, so 0 for "/" */
    bool remembered; /* may be out of date: others can rename directories */
};

static struct changes changes_now(const struct velo_region *region)
{
    return (struct changes){atomic_load(&cwd_epoch), velo_mount_changes(region),
                            velo_outside_epoch(region)};
}

/* True when `text` and *base are what was remembered and still holds. */
static bool cwd_recall(const struct velo_region *region, struct base *base, char text[PATH_MAX])
{
    if (velo_vfork_child || atomic_load_explicit(&cwd_unknowable, memory_order_relaxed))
        return false;
    const uint32_t sequence = atomic_load_explicit(&cwd.sequence, memory_order_acquire);
    const struct changes now = changes_now(region);
    if ((sequence & 1) != 0 || memcmp(&cwd.until, &now, sizeof now) != 0)
        return false;
    *base = (struct base){.node = cwd.node, .length = cwd.length, .remembered = true};
    const uint32_t generation = cwd.generation;
    if (base->length >= PATH_MAX)
        return false;
    memcpy(text, cwd.text, base->length + 1);
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load_explicit(&cwd.sequence, memory_order_relaxed) != sequence)
        return false;
    return !velo_is_node(base->node) || velo_is_directory(region, base->node, generation);
}

static void cwd_remember(const struct base *base, uint32_t generation, const char *text,
                         const struct changes *until)
{
    uint32_t sequence = atomic_load_explicit(&cwd.sequence, memory_order_relaxed);
    if (velo_vfork_child || (sequence & 1) != 0 ||
        !atomic_compare_exchange_strong(&cwd.sequence, &sequence, sequence + 1))
        return;
    atomic_thread_fence(memory_order_release);
    cwd.until = *until;
    cwd.node = base->node;
    cwd.generation = generation;
    cwd.length = base->length;
    memcpy(cwd.text, text, base->length + 1);
    atomic_store_explicit(&cwd.sequence, sequence + 2, memory_order_release);
}

/* Ask the kernel; `scratch` is the caller's place, not filled yet. 0, or -errno: nothing hosted
 * can be reached from here (the directory was removed). */
static int cwd_ask(struct velo_region *region, struct base *base, char text[PATH_MAX],
                   struct velo_place *scratch)
{
    const struct changes until = changes_now(region);
    const long size = raw_getcwd(text, PATH_MAX);
    if (size < 0)
        return (int)size;
    if (text[0] != '/')
        return -ENOENT; /* "(unreachable)" */
    uint32_t generation = 0;
    *base = (struct base){.length = (uint32_t)size - 1};
    if (velo_may_reach_hosted(region, text) && velo_walk(region, text, 0, scratch) == 0 &&
        scratch->at.kind == VELO_HOSTED && scratch->at.type == VELO_DIRECTORY) {
        base->node = scratch->at.node;
        base->length = 0;
        generation = scratch->at.generation;
    }
    if (base->length == 1)
        base->length = 0;
    text[base->length] = 0;
    cwd_remember(base, generation, text, &until);
    return 0;
}

/* ---- descriptors ----------------------------------------------------------------------------- */

/* The text of a directory outside; 0, or -errno: leave the call to the kernel. */
static int text_of_fd(int fd, struct base *base, char text[PATH_MAX])
{
    char link[VELO_FD_PATH_MAX];
    velo_path_of_fd(VELO_SELF, fd, link);
    const long length = raw_readlink(AT_FDCWD, link, text, PATH_MAX - 1);
    if (length <= 0 || text[0] != '/')
        return length == -ENAMETOOLONG ? -ENAMETOOLONG : -ENOENT;
    *base = (struct base){.length = length == 1 ? 0 : (uint32_t)length};
    text[base->length] = 0;
    return 0;
}

/* ---- the claim ------------------------------------------------------------------------------- */

/* A path that leads through hosted names and out again is not ours either: the directories and symlinks on the way
 * stand on disk, so the kernel finds the same end from the program's text. */
static int ours_or_not(int rc, const struct velo_place *place)
{
    if (rc != 0)
        return rc;
    return place->at.kind == VELO_HOSTED ? VELO_OURS : VELO_NOT_OURS;
}

/* Claims an absolute text. The program gave its last part, `path`; the part before is a directory's real path,
 * without symlinks. */
static int by_text(struct velo_region *region, const char *text, const char *path, unsigned flags,
                   bool any, struct velo_place *place)
{
    int by_directory = VELO_NOT_OURS;
    if (velo_may_reach_hosted(region, text)) {
        const bool asks = velo_goes_up_inside(path);
        if (asks)
            by_directory = velo_claim_by_directory(region, text, flags, place);
        if (by_directory == VELO_OURS)
            return by_directory;
        const int rc = ours_or_not(velo_walk(region, text, flags, place), place);
        if (rc == VELO_NOT_OURS && !any)
            return velo_claim_outside(region, AT_FDCWD, text, 0, flags, place);
        if (!asks || any || rc < 0)
            return rc;
        return by_directory; /* the kernel found another directory, or none */
    }
    const int claimed = velo_claim_outside(region, AT_FDCWD, text, 0, flags, place);
    if (claimed != VELO_NOT_OURS || !any)
        return claimed;
    return ours_or_not(velo_walk(region, text, flags, place), place);
}

static int walk_from(struct velo_region *region, const struct base *base, char text[PATH_MAX],
                     const char *path, unsigned flags, bool any, struct velo_place *place)
{
    if (velo_is_node(base->node))
        return ours_or_not(velo_walk_at(region, base->node, path, flags, place), place);
    const size_t length = strlen(path);
    if (base->length + 1 + length >= PATH_MAX)
        return any ? -ENAMETOOLONG : VELO_NOT_OURS;
    text[base->length] = '/';
    memcpy(text + base->length + 1, path, length + 1);
    return by_text(region, text, path, flags, any, place);
}

/* The working directory was removed; for the kernel its ".." still leads where it stood. */
static int claim_above_removed(struct velo_region *region, const char *path, unsigned flags,
                               struct velo_place *place)
{
    struct stat stat;
    if (path[0] != '.' || path[1] != '.' || (path[2] != '/' && path[2] != 0) ||
        raw_statat(AT_FDCWD, "..", &stat, 0) != 0)
        return VELO_NOT_OURS;
    const velo_node_id node = velo_node_of(region, &stat);
    const char *rest = path + 2;
    while (*rest == '/')
        rest++;
    if (!velo_is_node(node))
        return VELO_NOT_OURS;
    return ours_or_not(velo_walk_at(region, node, *rest != 0 ? rest : ".", flags, place), place);
}

/* From the working directory. When an outside one seems to lead nowhere, perhaps another process
 * renamed it: then the kernel's answer decides. */
static int claim_at_cwd(struct velo_region *region, const char *path, unsigned flags, bool any,
                        struct velo_place *place)
{
    struct base base;
    char text[PATH_MAX];
    if (cwd_recall(region, &base, text)) {
        const int claimed = walk_from(region, &base, text, path, flags, any, place);
        if (claimed != -ENOENT || velo_is_node(base.node))
            return claimed;
    }
    const int rc = cwd_ask(region, &base, text, place);
    if (rc != 0)
        return any ? rc : claim_above_removed(region, path, flags, place);
    return walk_from(region, &base, text, path, flags, any, place);
}

static int claim_at_fd(struct velo_region *region, int fd, const char *path, unsigned flags,
                       bool any, struct velo_place *place)
{
    struct stat stat;
    const long failed = raw_fstat(fd, &stat);
    if (failed != 0 || !S_ISDIR(stat.st_mode)) /* EBADF, ENOTDIR: the kernel says it best */
        return !any ? VELO_NOT_OURS : failed != 0 ? (int)failed : -ENOTDIR;
    struct base base = {.node = velo_node_of(region, &stat)};
    if (velo_is_node(base.node))
        return ours_or_not(velo_walk_at(region, base.node, path, flags, place), place);
    if (!any && !names_a_pattern(region, path))
        return strchr(path, '/') == NULL
                   ? velo_claim_entry(region, fd, &stat, path, flags, place)
                   : velo_claim_outside(region, fd, path, stat.st_ino ^ stat.st_dev << 32, flags,
                                        place);
    char text[PATH_MAX];
    const int rc = text_of_fd(fd, &base, text);
    if (rc != 0)
        return any ? rc : VELO_NOT_OURS;
    return walk_from(region, &base, text, path, flags, any, place);
}

/* Only the kernel can reach the path's end, but files in the directories above may be in memory still: put them. */
static void make_way(struct velo_region *region, int dirfd, const char *path)
{
    struct stat stat;
    struct velo_flush_result result;
    char text[PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (slash == NULL || slash - path >= PATH_MAX - 1)
        return;
    memcpy(text, path, (size_t)(slash - path));
    text[slash - path] = 0;
    if (raw_statat(dirfd, text, &stat, 0) == -ENOENT)
        velo_flush(region, 0, MAKE_WAY_MS, &result);
}

static int claim(int dirfd, const char *path, unsigned flags, bool any, struct velo_place *place)
{
    struct velo_region *region = velo_here();
    if (region == NULL)
        return any ? -ENOENT : VELO_NOT_OURS;
    if (velo_cannot_read_text(path))
        return any ? -EFAULT : VELO_NOT_OURS;
    if (path[0] == 0)
        return any ? -ENOENT : VELO_NOT_OURS;
    const bool magic = path[0] == '/' && (path[1] == 'p' || path[1] == 'd'); /* /proc, /dev */
    if (magic && velo_claim_magic_link(region, path, flags, place))
        return VELO_OURS;
    const char *behind = magic ? velo_behind_magic_link(path, &dirfd) : NULL;
    if (behind != NULL) {
        path = behind;
    } else if (path[0] == '/') {
        return by_text(region, path, path, flags, any, place);
    }
    place->at.overlong = 0;
    const int claimed = dirfd == AT_FDCWD ? claim_at_cwd(region, path, flags, any, place)
                                          : claim_at_fd(region, dirfd, path, flags, any, place);
    if (claimed == VELO_OURS) {
        place->asked.base = dirfd;
        place->asked.given = path;
    }
    if (claimed != -ENAMETOOLONG || !place->at.overlong || any)
        return claimed;
    /* Deeper than an absolute path can say: nothing of ours is there, and the kernel finds its way. */
    make_way(region, dirfd, path);
    return VELO_NOT_OURS;
}

int velo_claim(int dirfd, const char *path, unsigned walk_flags, struct velo_place *place)
{
    return claim(dirfd, path, walk_flags, false, place);
}

long velo_absolute_text(int dirfd, const char *path, char text[PATH_MAX])
{
    struct velo_region *region = velo_here();
    struct velo_place scratch;
    struct base base = {0};
    size_t start = 0;
    if (region == NULL)
        return -ENOENT;
    if (path[0] != '/') {
        int rc = 0;
        if (dirfd != AT_FDCWD) {
            struct stat stat;
            if (raw_fstat(dirfd, &stat) == 0 && S_ISDIR(stat.st_mode))
                base.node = velo_node_of(region, &stat);
            rc = velo_is_node(base.node) ? 0 : text_of_fd(dirfd, &base, text);
        } else if (!cwd_recall(region, &base, text)) {
            rc = cwd_ask(region, &base, text, &scratch);
        }
        if (rc != 0)
            return rc;
        const int length =
            velo_is_node(base.node) ? velo_path_of(region, base.node, text) : (int)base.length;
        if (length < 0)
            return length;
        start = (size_t)length;
        text[start++] = '/';
    }
    while (path[0] == '.' && path[1] == '/')
        for (path += 2; *path == '/'; path++) {
        }
    const size_t length = strlen(path);
    if (start + length >= PATH_MAX)
        return -ENAMETOOLONG;
    memcpy(text + start, path, length + 1);
    return (long)(start + length);
}

int velo_resolve(int dirfd, const char *path, unsigned walk_flags, struct velo_place *place)
{
    const int claimed = claim(dirfd, path, walk_flags, true, place);
    return claimed < 0 ? claimed : 0;
}
