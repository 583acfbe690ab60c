/* links.c - symlinks outside hosted directories that lead into them: where one may stand.
 *
 * Outside, a path is the kernel's, and velo does not look whether its last component is a symlink. But
 * a link to a file that is in memory only leads nowhere on disk. So the first path that leads to a
 * directory outside makes a process look through it once for all (preload/path/inbound_symlinks.c).
 * What it found is kept by the directory's identity: a word for the directory, and the names of its
 * links, mixed with those of other directories. Links that we see being made are noted as they are.
 *
 * A directory that changed since is looked through again only when processes outside were at work
 * meanwhile: /tmp changes all the time.  All are hints: a wrong one costs one readlink. */
#include "tree.h"

#define PROBES_MAX 16
#define CTIME_BITS 19
#define OUTSIDERS_BITS 12

/* ---- names ----------------------------------------------------------------------------------- */

static uint32_t hash_of(const char *name, size_t length)
{
    const uint32_t hash = velo_hash(0x6c696e6b, name, length);
    return hash != 0 ? hash : 1;
}

void velo_link_note(struct velo_region *region, const char *name, size_t length)
{
    struct velo_header *header = region->header;
    const uint32_t hash = hash_of(name, length);
    for (uint32_t i = 0; i < VELO_LINKS_MAX; i++) {
        _Atomic uint32_t *slot = &header->links[(hash + i) % VELO_LINKS_MAX];
        uint32_t seen = 0;
        if (atomic_compare_exchange_strong(slot, &seen, hash)) {
            atomic_fetch_add(&header->link_count, 1);
            return;
        }
        if (seen == hash)
            return;
    }
}

int velo_link_known(const struct velo_region *region, const char *name, size_t length)
{
    const struct velo_header *header = region->header;
    const uint32_t count = atomic_load_explicit(&header->link_count, memory_order_relaxed);
    if (count == 0 || count >= VELO_LINKS_MAX) /* too many to tell: any may be one */
        return count != 0;
    const uint32_t hash = hash_of(name, length);
    for (uint32_t i = 0; i < VELO_LINKS_MAX; i++) {
        const uint32_t seen =
            atomic_load_explicit(&header->links[(hash + i) % VELO_LINKS_MAX], memory_order_relaxed);
        if (seen == hash || seen == 0)
            return seen == hash;
    }
    return 1;
}

/* ---- directories ----------------------------------------------------------------------------- */

struct seen { /* a word, in parts */
    uint32_t directory, ctime, outsiders;
};

static struct seen seen_now(const struct velo_region *region, const struct stat *stat)
{
    const uint64_t identity[2] = {stat->st_dev, stat->st_ino};
    const uint64_t ctime[2] = {(uint64_t)stat->st_ctim.tv_sec, (uint64_t)stat->st_ctim.tv_nsec};
    return (struct seen){
        .directory = hash_of((const char *)identity, sizeof identity),
        .ctime = velo_hash(0, (const char *)ctime, sizeof ctime) >> (32 - CTIME_BITS),
        .outsiders = atomic_load_explicit(&region->header->outsiders, memory_order_relaxed) &
                     ((1u << OUTSIDERS_BITS) - 1),
    };
}

static uint64_t word_of(const struct seen *seen, int links)
{
    return (uint64_t)seen->directory << 32 | (uint64_t)seen->ctime << (OUTSIDERS_BITS + 1) |
           seen->outsiders << 1 | (links != 0);
}

enum velo_scanned velo_scanned_find(const struct velo_region *region, const struct stat *directory)
{
    const struct seen now = seen_now(region, directory);
    const uint64_t wanted = word_of(&now, 0);
    const uint64_t of_ctime = ((1ull << CTIME_BITS) - 1) << (OUTSIDERS_BITS + 1);
    const uint64_t of_outsiders = ((1ull << OUTSIDERS_BITS) - 1) << 1;
    for (uint32_t probe = 0; probe < PROBES_MAX; probe++) {
        const uint64_t word = atomic_load_explicit(
            &region->header->scanned[(now.directory + probe) % VELO_SCANNED_MAX],
            memory_order_relaxed);
        if (word == 0)
            return VELO_UNSEEN;
        if (word >> 32 != now.directory)
            continue;
        if (((word ^ wanted) & of_ctime) != 0 && ((word ^ wanted) & of_outsiders) != 0)
            return VELO_UNSEEN;
        return (word & 1) != 0 ? VELO_LINKS : VELO_NO_LINKS;
    }
    return VELO_NO_LINKS;
}

void velo_scanned_keep(struct velo_region *region, const struct stat *directory,
                       enum velo_scanned found)
{
    const struct seen now = seen_now(region, directory);
    for (uint32_t probe = 0; probe < PROBES_MAX; probe++) {
        _Atomic uint64_t *slot =
            &region->header->scanned[(now.directory + probe) % VELO_SCANNED_MAX];
        uint64_t word = atomic_load(slot);
        while (word == 0 || word >> 32 == now.directory) {
            /* Once links were there, some may be: one process may note a link while another looks. */
            const int links = found == VELO_LINKS || (word & 1) != 0;
            if (atomic_compare_exchange_strong(slot, &word, word_of(&now, links)))
                return;
        }
    }
}

void velo_links_unsure(struct velo_region *region)
{
    atomic_fetch_add(&region->header->outsiders, 1);
    atomic_fetch_add(&region->header->outside_epoch, 1);
}
