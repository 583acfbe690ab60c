/* probe.c - asking for a path as a program would, and remembering digests.
 *
 * A hosted file is the same as long as its node, generation and version are the same, unless a process that had it
 * open before wrote to it since. A file outside is the same as long as device, inode, size, mtime and ctime are. The
 * times must have been old enough when its bytes were read: two changes within one tick of the clock leave the same
 * times (git calls such an entry racy). */
#include "probe.h"

#include "kernel/dents.h"
#include "kernel/os.h"
#include "kernel/text.h"
#include "preload/base/raw.h"
#include "preload/path/claim.h"

#define KNOWN_SLOTS 16384u
#define RACY_NS 20000000

struct known {
    uint64_t path;    /* hash */
    uint64_t
        what[5]; /* node, generation, version, size, mtime; or device, inode, size, mtime, ctime */
    uint8_t digest[VELO_SHA256_BYTES];
};

static struct known *_Atomic table; /* mapped at the first use */
static atomic_flag busy = ATOMIC_FLAG_INIT;

/* ---- asking ---------------------------------------------------------------------------------- */

int velo_probe(const char *path, bool follow, struct velo_probed *out)
{
    struct velo_place place;
    const int claimed = velo_claim(AT_FDCWD, path, follow ? 0 : VELO_WALK_NOFOLLOW, &place);
    out->hosted = claimed == VELO_OURS;
    out->node = VELO_NO_NODE;
    if (claimed == VELO_NOT_OURS)
        return (int)raw_statat(AT_FDCWD, path, &out->stat, follow ? 0 : AT_SYMLINK_NOFOLLOW);
    if (claimed < 0)
        return claimed;
    struct velo_region *region = velo_here();
    struct velo_snapshot snapshot;
    if (place.at.type == VELO_REGULAR &&
        velo_snapshot_take(region, place.at.node, &snapshot) == 0) {
        out->node = place.at.node;
        out->generation = snapshot.generation;
        out->version = snapshot.version;
    }
    return velo_stat(region, &place, &out->stat);
}

int velo_probe_open(const char *path)
{
    struct velo_place place;
    const int claimed = velo_claim(AT_FDCWD, path, 0, &place);
    if (claimed == VELO_NOT_OURS)
        return (int)raw_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);
    return claimed < 0 ? claimed : velo_open(velo_here(), &place, O_RDONLY | O_CLOEXEC, 0);
}

/* ---- names of a directory ---------------------------------------------------------------------- */

/* A sum of digests, so that the order does not count. */
struct names {
    uint64_t sum[4];
};

static int add_name(void *context, const char *name, size_t length, uint64_t inode,
                    unsigned char type)
{
    struct names *names = context;
    struct velo_sha256 hash;
    union {
        uint8_t bytes[VELO_SHA256_BYTES];
        uint64_t words[4];
    } digest;
    (void)inode;
    velo_sha256_begin(&hash);
    velo_sha256_add(&hash, &type, 1);
    velo_sha256_add(&hash, name, length);
    velo_sha256_end(&hash, digest.bytes);
    for (int i = 0; i < 4; i++)
        names->sum[i] += digest.words[i];
    return 0;
}

static int names_outside(const char *path, struct names *names)
{
    const int fd = (int)raw_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    unsigned char *buffer = fd < 0 ? NULL : velo_buffer_take();
    struct velo_dents all = {.fd = fd, .buffer = buffer, .size = VELO_BUFFER_BYTES};
    const struct velo_dent *dent;
    while (buffer != NULL && (dent = velo_dents_next(&all)) != NULL)
        if (strcmp(dent->name, ".") != 0 && strcmp(dent->name, "..") != 0)
            add_name(names, dent->name, strlen(dent->name), 0, dent->type);
    velo_buffer_give(buffer);
    if (fd >= 0)
        raw_close(fd);
    return fd < 0 ? fd : buffer == NULL ? -ENOMEM : (int)all.got;
}

int velo_names_of(const char *path, uint8_t digest[VELO_SHA256_BYTES])
{
    struct names names = {{0}};
    struct velo_place place;
    const int claimed = velo_claim(AT_FDCWD, path, 0, &place);
    int rc = claimed < 0 ? claimed : -ENOTDIR;
    if (claimed == VELO_NOT_OURS)
        rc = names_outside(path, &names);
    else if (claimed == VELO_OURS && place.at.type == VELO_DIRECTORY)
        rc = velo_list(velo_here(), place.at.node, add_name, &names);
    memcpy(digest, names.sum, VELO_SHA256_BYTES);
    return rc;
}

/* ---- buffers --------------------------------------------------------------------------------- */

/* One buffer is kept, so that a step that hits does not pay for its pages each time. */
static _Atomic(unsigned char *) spare;

unsigned char *velo_buffer_take(void)
{
    unsigned char *kept = atomic_exchange(&spare, NULL);
    return kept != NULL ? kept : velo_os_memory(VELO_BUFFER_BYTES);
}

void velo_buffer_give(unsigned char *buffer)
{
    unsigned char *none = NULL;
    if (buffer != NULL && !atomic_compare_exchange_strong(&spare, &none, buffer))
        velo_os_unmap(buffer, VELO_BUFFER_BYTES);
}

/* ---- digests --------------------------------------------------------------------------------- */

static void identify(const char *path, const struct velo_probed *probed, struct known *out)
{
    const struct stat *stat = &probed->stat;
    out->path = velo_text_hash(0, path, strlen(path)) | 1;
    memset(out->what, 0, sizeof out->what);
    if (probed->hosted) {
        out->what[0] = probed->node.slot;
        out->what[1] = probed->generation;
        out->what[2] =
            probed->version; /* rises when it is opened to be written: not at each write */
        out->what[3] = (uint64_t)stat->st_size;
        out->what[4] = (uint64_t)velo_ns(&stat->st_mtim);
        return;
    }
    out->what[0] = stat->st_dev;
    out->what[1] = stat->st_ino;
    out->what[2] = (uint64_t)stat->st_size;
    out->what[3] = (uint64_t)velo_ns(&stat->st_mtim);
    out->what[4] = (uint64_t)velo_ns(&stat->st_ctim);
}

static struct known *known_table(void)
{
    struct known *there = atomic_load(&table);
    if (there != NULL)
        return there;
    struct known *none = NULL, *made = velo_os_memory(KNOWN_SLOTS * sizeof *made);
    if (made == NULL || atomic_compare_exchange_strong(&table, &none, made))
        return made;
    velo_os_unmap(made, KNOWN_SLOTS * sizeof *made);
    return none;
}

static bool find(const struct known *wanted, uint8_t digest[VELO_SHA256_BYTES])
{
    struct known *all = known_table();
    bool found = false;
    if (all == NULL || atomic_flag_test_and_set(&busy))
        return false;
    const struct known *slot = &all[wanted->path >> 8 & (KNOWN_SLOTS - 1)];
    found = slot->path == wanted->path && memcmp(slot->what, wanted->what, sizeof slot->what) == 0;
    if (found)
        memcpy(digest, slot->digest, VELO_SHA256_BYTES);
    atomic_flag_clear(&busy);
    return found;
}

static bool is_racy(const struct velo_probed *probed)
{
    struct timespec now = {0, 0};
    if (probed->hosted)
        return false;
    velo_sys2(SYS_clock_gettime, CLOCK_REALTIME, velo_word(&now));
    const int64_t young = velo_ns(&now) - RACY_NS;
    return velo_ns(&probed->stat.st_mtim) > young || velo_ns(&probed->stat.st_ctim) > young;
}

void velo_digest_known(const char *path, const struct velo_probed *probed,
                       const uint8_t digest[VELO_SHA256_BYTES])
{
    struct known made;
    struct known *all = known_table();
    if (all == NULL || (probed->hosted && !velo_is_node(probed->node)))
        return;
    identify(path, probed, &made);
    memcpy(made.digest, digest, VELO_SHA256_BYTES);
    if (atomic_flag_test_and_set(&busy))
        return;
    all[made.path >> 8 & (KNOWN_SLOTS - 1)] = made;
    atomic_flag_clear(&busy);
}

static int hash_file(int fd, unsigned char *buffer, uint8_t digest[VELO_SHA256_BYTES])
{
    struct velo_sha256 hash;
    long got;
    velo_sha256_begin(&hash);
    while ((got = velo_sys3(SYS_read, fd, velo_word(buffer), VELO_BUFFER_BYTES)) > 0)
        velo_sha256_add(&hash, buffer, (size_t)got);
    velo_sha256_end(&hash, digest);
    return (int)got;
}

int velo_digest_of(const char *path, const struct velo_probed *probed,
                   uint8_t digest[VELO_SHA256_BYTES])
{
    struct known wanted, after;
    identify(path, probed, &wanted);
    if (find(&wanted, digest))
        return 0;
    const bool racy = is_racy(probed); /* before it is read */
    const int fd = velo_probe_open(path);
    unsigned char *buffer = fd < 0 ? NULL : velo_buffer_take();
    int rc = fd < 0 ? fd : buffer == NULL ? -ENOMEM : hash_file(fd, buffer, digest);
    velo_buffer_give(buffer);
    if (fd >= 0)
        raw_close(fd);
    struct velo_probed again;
    if (rc == 0)
        rc = velo_probe(path, true, &again);
    if (rc != 0)
        return rc;
    identify(path, &again, &after);
    if (memcmp(wanted.what, after.what, sizeof after.what) != 0)
        return -EAGAIN;
    if (!racy)
        velo_digest_known(path, probed, digest);
    return 0;
}
