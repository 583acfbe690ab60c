/* facts.c - each fact is one question, asked as the program would ask it.
 *
 * Facts are shared by entries: 700 compilations ask for the same headers. What one lookup found holds for all of that
 * lookup; of files outside of the workspace, for WINDOW_NS. Files of the workspace are asked for at each step, since
 * an edit between two steps must be seen by the second. */
#include "facts.h"

#include <sys/mman.h>

#include "kernel/os.h"
#include "probe.h"
#include "preload/path/claim.h"
#include "preload/base/raw.h"

#define FACTS_MAX (1u << 20)
#define WINDOW_NS 1000000000

static _Atomic int64_t
    *_Atomic held; /* by number: until when it is believed, or the lookup that found it */
static _Atomic int64_t lookups;       /* negative numbers, so that no time is one */

static _Atomic int64_t *held_table(void)
{
    _Atomic int64_t *there = atomic_load(&held);
    if (there != NULL)
        return there;
    const long at = velo_sys6(SYS_mmap, 0, FACTS_MAX * sizeof *there, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at < 0 && at > -4096)
        return NULL;
    _Atomic int64_t *none = NULL, *made = (_Atomic int64_t *)(uintptr_t)at;
    if (atomic_compare_exchange_strong(&held, &none, made))
        return made;
    velo_sys2(SYS_munmap, at, FACTS_MAX * sizeof *there);
    return none;
}

static int64_t now_ns(void)
{
    struct timespec now = {0, 0};
    velo_sys2(SYS_clock_gettime, CLOCK_MONOTONIC, velo_word(&now));
    return velo_ns(&now);
}

static bool is_absent(int rc)
{
    return rc == -ENOENT || rc == -ENOTDIR;
}

static bool is_signed(const struct velo_fact *fact, const struct velo_probed *probed)
{
    const struct stat *stat = &probed->stat;
    return (fact->flags & VELO_FACT_SIGNED) != 0 && !probed->hosted &&
           stat->st_dev == fact->device && stat->st_ino == fact->inode &&
           (uint64_t)stat->st_size == fact->size && velo_ns(&stat->st_mtim) == fact->mtime_ns &&
           velo_ns(&stat->st_ctim) == fact->ctime_ns;
}

static bool same_content(const struct velo_fact *fact, const char *path,
                         const struct velo_probed *probed)
{
    uint8_t digest[VELO_SHA256_BYTES];
    if (!S_ISREG(probed->stat.st_mode) || probed->stat.st_mode != fact->mode)
        return false;
    if (is_signed(fact, probed))
        return true;
    if ((uint64_t)probed->stat.st_size != fact->size)
        return false;
    return velo_digest_of(path, probed, digest) == 0 &&
           memcmp(digest, fact->digest, sizeof digest) == 0;
}

static bool same_names(const struct velo_fact *fact, const char *path,
                       const struct velo_probed *probed)
{
    uint8_t digest[VELO_SHA256_BYTES];
    return is_signed(fact, probed) ||
           (velo_names_of(path, digest) == 0 && memcmp(digest, fact->digest, sizeof digest) == 0);
}

static bool same_stat(const struct velo_fact *fact, const struct velo_probed *probed)
{
    const struct stat *stat = &probed->stat;
    if (stat->st_mode != fact->mode)
        return false;
    return !S_ISREG(stat->st_mode) || (uint64_t)stat->st_size == fact->size;
}

static bool same_link(const char *path, const char *text)
{
    char found[PATH_MAX];
    struct velo_place place;
    const int claimed = velo_claim(AT_FDCWD, path, VELO_WALK_NOFOLLOW, &place);
    const long length = claimed == VELO_NOT_OURS
                            ? raw_readlink(AT_FDCWD, path, found, sizeof found - 1)
                        : claimed < 0 ? claimed
                                      : velo_readlink(velo_here(), &place, found, sizeof found - 1);
    return length == (long)strlen(text) && memcmp(found, text, (size_t)length) == 0;
}

static bool holds(const struct velo_index *index, const struct velo_fact *fact)
{
    const char *path = velo_index_at(index, fact->path);
    struct velo_probed probed;
    if (fact->kind == VELO_FACT_LINK)
        return same_link(path, velo_index_at(index, fact->text));
    const bool follow = fact->kind != VELO_FACT_LABSENT && fact->kind != VELO_FACT_LSTAT &&
                        fact->kind != VELO_FACT_LTIMES && fact->kind != VELO_FACT_NO_LINK;
    const int rc = velo_probe(path, follow, &probed);
    if (fact->kind == VELO_FACT_ABSENT || fact->kind == VELO_FACT_LABSENT)
        return is_absent(rc);
    if (rc != 0)
        return false;
    if (fact->kind == VELO_FACT_NO_LINK)
        return !S_ISLNK(probed.stat.st_mode);
    if (fact->kind == VELO_FACT_NAMES)
        return same_names(fact, path, &probed);
    if (fact->kind == VELO_FACT_CONTENT)
        return same_content(fact, path, &probed);
    if (fact->kind == VELO_FACT_TIMES || fact->kind == VELO_FACT_LTIMES)
        return same_stat(fact, &probed) && velo_ns(&probed.stat.st_mtim) == fact->mtime_ns;
    return same_stat(fact, &probed);
}

static _Atomic uint32_t doubts;

void velo_facts_doubt(void)
{
    atomic_fetch_add(&doubts, 1);
}

const struct velo_fact *velo_facts_fail(const struct velo_index *index,
                                        const struct velo_entry *entry)
{
    static _Atomic uint32_t doubts_then;
    _Atomic int64_t *table = held_table();
    const int64_t lookup = atomic_fetch_sub(&lookups, 1) - 1;
    const int64_t now = now_ns();
    const uint32_t *offsets = velo_index_at(index, entry->facts);
    const bool sure =
        !velo_opaque_runs(velo_here()) && atomic_load(&doubts) == atomic_load(&doubts_then);
    for (uint32_t i = 0; i < entry->fact_count; i++) {
        const struct velo_fact *fact = velo_index_at(index, offsets[i]);
        _Atomic int64_t *believed =
            table != NULL && fact->number < FACTS_MAX ? &table[fact->number] : NULL;
        const bool inside = (fact->flags & VELO_FACT_IN_WORKSPACE) != 0;
        const int64_t until = believed == NULL ? 0 : atomic_load(believed);
        if (until == lookup || (!inside && sure && until > now))
            continue;
        if (!holds(index, fact))
            return fact;
        if (believed != NULL)
            atomic_store(believed, inside ? lookup : now + WINDOW_NS);
    }
    atomic_store(&doubts_then, atomic_load(&doubts));
    return NULL;
}
