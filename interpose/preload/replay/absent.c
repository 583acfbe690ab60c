/* absent.c - when is a directory known to be as it was?
 *
 * When its device, inode, mtime and ctime are as they were, and the times were old enough at the first question: two
 * changes within one tick of the clock leave the same times. Not on file systems that tell times late (network, FUSE),
 * nor in a hosted directory whose names a process outside may have changed: then another epoch begins.
 *
 * The directory of a path is the nearest one above it that is there; the name that is asked for is the next one after
 * that, without following it: a symlink that leads nowhere proves nothing about where it leads. */
#include "absent.h"

#include <linux/magic.h>
#include <sys/vfs.h>

#include "kernel/os.h"
#include "kernel/text.h"
#include "probe.h"
#include "preload/base/raw.h"
#include "preload/path/claim.h"

#define DIRECTORIES 4096u
#define TRIES 8u
#define RACY_NS 20000000
#define RACY_COARSE_NS 2000000000 /* where times have whole seconds */
#define SECOND_NS 1000000000

enum answer { IS_DIRECTORY = 1, IS_MISSING, IS_OTHER };

struct directory {
    const char *path; /* `length` bytes of a longer text */
    uint32_t length;
    uint32_t serial; /* another one each time that it was found changed */
    int64_t lookup;  /* that asked last: what follows is of then */
    uint8_t answer, trusted, local, hosted;
    uint32_t epoch; /* of a hosted one: in which it was looked at first */
    uint64_t device, inode;
    int64_t mtime_ns, ctime_ns;
};

static struct directory *_Atomic directories; /* mapped at the first use */
static atomic_flag busy = ATOMIC_FLAG_INIT;
static uint32_t epoch; /* this and what follows: written by the thread that has begun */
static int64_t doubted;
static bool is_sure;

bool velo_absent_begin(bool sure, int64_t doubted_ns)
{
    if (atomic_flag_test_and_set(&busy))
        return false;
    epoch += !sure || doubted_ns != doubted;
    doubted = doubted_ns;
    is_sure = sure;
    return true;
}

void velo_absent_end(void)
{
    atomic_flag_clear(&busy);
}

static struct directory *slot_of(const char *path, size_t length)
{
    struct directory *all = atomic_load(&directories);
    if (all == NULL) {
        all = velo_os_memory(DIRECTORIES * sizeof *all);
        atomic_store(&directories, all);
    }
    const uint64_t hash = velo_text_hash(0, path, length);
    for (unsigned i = 0; all != NULL && i < TRIES; i++) {
        struct directory *slot = &all[((hash >> 16) + i) & (DIRECTORIES - 1)];
        if (slot->path == NULL) {
            slot->path = path;
            slot->length = (uint32_t)length;
            slot->serial = 1;
        }
        if (slot->length == length && memcmp(slot->path, path, length) == 0)
            return slot;
    }
    return NULL;
}

static bool is_local(const char *path)
{
    static const long known[] = {EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC,  BTRFS_SUPER_MAGIC,
                                 TMPFS_MAGIC,      F2FS_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC};
    struct statfs found;
    if (velo_sys2(SYS_statfs, velo_word(path), velo_word(&found)) != 0)
        return false;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if ((long)found.f_type == known[i])
            return true;
    return false;
}

static bool is_old(const struct stat *stat, int64_t now)
{
    const int64_t mtime = velo_ns(&stat->st_mtim), ctime = velo_ns(&stat->st_ctim);
    const bool coarse = mtime % SECOND_NS == 0 && ctime % SECOND_NS == 0;
    return (mtime > ctime ? mtime : ctime) < now - (coarse ? RACY_COARSE_NS : RACY_NS);
}

static bool is_same(const struct directory *directory, const struct velo_probed *probed)
{
    const struct stat *stat = &probed->stat;
    if (directory->hosted != probed->hosted || (probed->hosted && directory->epoch != epoch))
        return false;
    return directory->answer == IS_DIRECTORY && directory->device == stat->st_dev &&
           directory->inode == stat->st_ino && directory->mtime_ns == velo_ns(&stat->st_mtim) &&
           directory->ctime_ns == velo_ns(&stat->st_ctim);
}

static bool is_trusted(const struct directory *directory, const struct stat *stat, int64_t now)
{
    return (directory->hosted ? is_sure : directory->local) && is_old(stat, now);
}

static void ask(struct directory *directory)
{
    char path[PATH_MAX];
    struct timespec now = {0, 0}; /* read before it is asked */
    struct velo_probed probed;
    const struct stat *stat = &probed.stat;
    memcpy(path, directory->path, directory->length);
    path[directory->length] = 0;
    velo_clock(CLOCK_REALTIME, &now);
    const int rc = velo_probe(path, true, &probed);
    if (rc == 0 && is_same(directory, &probed)) {
        directory->trusted = is_trusted(directory, stat, velo_ns(&now));
        return;
    }
    directory->serial++;
    directory->trusted = 0;
    directory->answer = rc == -ENOENT ? IS_MISSING : IS_OTHER;
    if (rc != 0 || !S_ISDIR(stat->st_mode) ||
        (!probed.hosted && velo_is_node(velo_node_of(velo_here(), stat))))
        return;
    directory->answer = IS_DIRECTORY;
    directory->hosted = probed.hosted;
    directory->epoch = epoch;
    directory->device = stat->st_dev;
    directory->inode = stat->st_ino;
    directory->mtime_ns = velo_ns(&stat->st_mtim);
    directory->ctime_ns = velo_ns(&stat->st_ctim);
    directory->local = !probed.hosted && is_local(path);
    directory->trusted = is_trusted(directory, stat, velo_ns(&now));
}

static enum answer now(struct directory *directory, int64_t lookup)
{
    if (directory->lookup != lookup)
        ask(directory);
    directory->lookup = lookup;
    return directory->answer;
}

bool velo_absent_proved(const struct velo_proof *proof, int64_t lookup)
{
    if (proof->serial == 0)
        return false;
    struct directory *directory = &atomic_load(&directories)[proof->directory];
    return now(directory, lookup) == IS_DIRECTORY && directory->trusted &&
           directory->serial == proof->serial;
}

static bool is_dots(const char *name, size_t length)
{
    return length == 0 || (name[0] == '.' && (length == 1 || (length == 2 && name[1] == '.')));
}

/* Nothing has that name, `length` bytes of `path`, whose last component begins at `last`. */
static bool is_nothing(const char *path, size_t last, size_t length)
{
    char text[PATH_MAX];
    struct velo_probed probed;
    if (is_dots(path + last, length - last))
        return false;
    memcpy(text, path, length);
    text[length] = 0;
    return velo_probe(text, false, &probed) == -ENOENT;
}

/* A hosted directory may be made where the one above on disk does not tell of it. */
static bool proves(const struct directory *directory, const char *path)
{
    return directory->trusted && (directory->hosted || !velo_may_reach_hosted(velo_here(), path));
}

bool velo_absent_prove(const char *path, int64_t lookup, struct velo_proof *proof)
{
    proof->serial = 0;
    size_t end = strlen(path);
    if (path[0] != '/' || end >= PATH_MAX)
        return false;
    while (end > 1) {
        size_t last = end;
        while (path[last - 1] != '/')
            last--;
        struct directory *directory = slot_of(path, last > 1 ? last - 1 : 1);
        const enum answer answer = directory == NULL ? IS_OTHER : now(directory, lookup);
        if (answer == IS_DIRECTORY) {
            if (!is_nothing(path, last, end))
                return false;
            if (proves(directory, path))
                *proof = (struct velo_proof){(uint32_t)(directory - atomic_load(&directories)),
                                             directory->serial};
            return true;
        }
        if (answer != IS_MISSING)
            return false;
        end = last - 1;
    }
    return false;
}
