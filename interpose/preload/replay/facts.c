/* facts.c - each fact is one question, asked as the program would ask it.
 *
 * Facts are shared by entries: 700 compilations ask for the same headers. What one lookup found holds for all of that
 * lookup; of files outside of the workspace, for WINDOW_NS. Files of the workspace are asked for at each step, since
 * an edit between two steps must be seen by the second; of names that are not there, their directory (absent.h). */
#include "facts.h"

#include "absent.h"
#include "kernel/os.h"
#include "probe.h"
#include "preload/path/claim.h"
#include "preload/base/raw.h"

#define FACTS_MAX (1u << 20)
#define WINDOW_NS 1000000000

/* By number: when the fact was found to hold, or, negative, the lookup that found it; of a group, when the first of
 * its facts was, if all of them are outside of the workspace. */
static _Atomic int64_t *_Atomic held, *_Atomic held_groups;
static _Atomic int64_t lookups;    /* negative numbers, so that no time is one */
static _Atomic int64_t doubted_ns; /* what was found before that is not believed */
/* By number: why a name is known not to be there. For the thread that has begun with absent.h. */
static struct velo_proof *proofs;

static _Atomic int64_t *table(_Atomic int64_t *_Atomic *kept)
{
    _Atomic int64_t *there = atomic_load(kept);
    if (there != NULL)
        return there;
    _Atomic int64_t *none = NULL, *made = velo_os_memory(FACTS_MAX * sizeof *made);
    if (made == NULL || atomic_compare_exchange_strong(kept, &none, made))
        return made;
    velo_os_unmap(made, FACTS_MAX * sizeof *made);
    return none;
}

/* For as long as the lookup lasts; NULL: another thread has them, or there is no memory. */
static struct velo_proof *take_proofs(bool sure, int64_t doubted)
{
    if (!velo_absent_begin(sure, doubted))
        return NULL;
    if (proofs == NULL)
        proofs = velo_os_memory(FACTS_MAX * sizeof *proofs);
    if (proofs == NULL)
        velo_absent_end();
    return proofs;
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

/* shards/replay/facts.py hashes no large programs: for them the signature is all. */
static bool has_digest(const struct velo_fact *fact)
{
    static const uint8_t none[VELO_SHA256_BYTES];
    return memcmp(fact->digest, none, sizeof none) != 0;
}

static bool same_content(const struct velo_fact *fact, const char *path,
                         const struct velo_probed *probed)
{
    uint8_t digest[VELO_SHA256_BYTES];
    if (!S_ISREG(probed->stat.st_mode) || probed->stat.st_mode != fact->mode)
        return false;
    if (is_signed(fact, probed))
        return true;
    if ((uint64_t)probed->stat.st_size != fact->size || !has_digest(fact))
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

static bool same_times(const struct velo_fact *fact, const struct velo_probed *probed)
{
    const struct stat *stat = &probed->stat;
    const bool owned = (fact->flags & VELO_FACT_OWNED) != 0;
    const bool whole = (fact->flags & VELO_FACT_WHOLE) != 0;
    return same_stat(fact, probed) && velo_ns(&stat->st_mtim) == fact->mtime_ns &&
           (!owned || (stat->st_uid == fact->uid && stat->st_gid == fact->gid)) &&
           (!whole || (stat->st_ino == fact->inode && velo_ns(&stat->st_ctim) == fact->ctime_ns));
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
        return same_times(fact, &probed);
    return same_stat(fact, &probed);
}

void velo_facts_doubt(void)
{
    atomic_store(&doubted_ns, velo_os_monotonic_ns());
}

/* One lookup. */
struct lookup {
    int64_t number, now;
    int64_t since; /* what was found later, of files outside of the workspace, is believed */
    bool sure;     /* so will be what is found now */
    _Atomic int64_t *held, *groups; /* or NULL, as these: */
    struct velo_proof *proofs;
};

static bool is_absence(const struct velo_fact *fact)
{
    return fact->kind == VELO_FACT_ABSENT || fact->kind == VELO_FACT_LABSENT;
}

static bool ask(const struct velo_index *index, const struct velo_fact *fact,
                const struct lookup *lookup)
{
    struct velo_proof *proof =
        lookup->proofs != NULL && is_absence(fact) && fact->number < FACTS_MAX
            ? &lookup->proofs[fact->number]
            : NULL;
    if (proof != NULL &&
        (velo_absent_proved(proof, lookup->number) ||
         velo_absent_prove(velo_index_at(index, fact->path), lookup->number, proof)))
        return true;
    return holds(index, fact);
}

/* When it was found: a time, or this lookup; 0: it does not hold. */
static int64_t holds_now(const struct velo_index *index, const struct velo_fact *fact,
                         const struct lookup *lookup)
{
    const bool inside = (fact->flags & VELO_FACT_IN_WORKSPACE) != 0;
    _Atomic int64_t *found =
        lookup->held != NULL && fact->number < FACTS_MAX ? &lookup->held[fact->number] : NULL;
    int64_t at = found == NULL ? 0 : atomic_load_explicit(found, memory_order_relaxed);
    if (at == lookup->number || (!inside && lookup->sure && at > lookup->since))
        return at;
    if (!ask(index, fact, lookup))
        return 0;
    at = inside || !lookup->sure ? lookup->number : lookup->now;
    if (found != NULL)
        atomic_store_explicit(found, at, memory_order_relaxed);
    return at;
}

/* The first fact of the group that does not hold, or NULL. */
static const struct velo_fact *group_fails(const struct velo_index *index,
                                           const struct velo_group *group,
                                           const struct lookup *lookup)
{
    _Atomic int64_t *found =
        lookup->groups != NULL && group->number < FACTS_MAX ? &lookup->groups[group->number] : NULL;
    if (found != NULL && lookup->sure &&
        atomic_load_explicit(found, memory_order_relaxed) > lookup->since)
        return NULL;
    int64_t first = lookup->now;
    for (uint32_t i = 0; i < group->count; i++) {
        const struct velo_fact *fact = velo_index_at(index, group->facts[i]);
        const int64_t at = holds_now(index, fact, lookup);
        if (at == 0)
            return fact;
        first = at < first ? at : first;
    }
    if (found != NULL && first > 0)
        atomic_store_explicit(found, first, memory_order_relaxed);
    return NULL;
}

const struct velo_fact *velo_facts_fail(const struct velo_index *index,
                                        const struct velo_entry *entry, bool alone)
{
    const int64_t now = velo_os_monotonic_ns(), doubted = atomic_load(&doubted_ns);
    const bool sure = alone && !velo_opaque_runs(velo_here());
    const struct lookup lookup = {
        .number = atomic_fetch_sub(&lookups, 1) - 1,
        .now = now,
        .since = doubted > now - WINDOW_NS ? doubted : now - WINDOW_NS,
        .sure = sure,
        .held = table(&held),
        .groups = table(&held_groups),
        .proofs = take_proofs(sure, doubted),
    };
    const uint32_t *offsets = velo_index_at(index, entry->groups);
    const struct velo_fact *failed = NULL;
    for (uint32_t i = 0; i < entry->group_count && failed == NULL; i++) {
        failed = group_fails(index, velo_index_at(index, offsets[i]), &lookup);
    }
    if (lookup.proofs != NULL)
        velo_absent_end();
    return failed;
}
