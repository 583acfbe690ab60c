/* freeze.c - hosted inputs and outputs as they are at the end of a unit.
 *
 * Now, because the build tool goes on at once: ninja reads a depfile and removes it. Paths outside are left to the
 * sealer, which asks the kernel. */
#include "freeze.h"

#include <signal.h>

#include "kernel/os.h"
#include "kernel/text.h"
#include "probe.h"
#include "preload/base/raw.h"
#include "preload/path/claim.h"
#include "unit.h"

#define SEEN_SLOTS 4096u
#define KEPT_MAX (64u << 20) /* a larger output is not cached */
/* Nor is a step that reads a larger input: a sparse file may have terabytes. As in shards/replay/facts.py. */
#define HASHED_MAX (1u << 30)

/* Each path once. */
struct seen {
    uint64_t slots[SEEN_SLOTS];
};

static bool is_first(struct seen *seen, const char *path, unsigned written)
{
    const uint64_t hash = velo_text_hash(written, path, strlen(path)) | 1;
    for (unsigned i = 0; i < 16; i++) {
        uint64_t *slot = &seen->slots[((hash >> 20) + i) & (SEEN_SLOTS - 1)];
        if (*slot == hash)
            return false;
        if (*slot == 0) {
            *slot = hash;
            return true;
        }
    }
    return true; /* full: twice does no harm */
}

static void kept_path(const uint8_t digest[VELO_SHA256_BYTES], char *out)
{
    char *end = stpcpy(stpcpy(out, velo_the_region.directory), VELO_LOG_DIRECTORY "/");
    strcpy(velo_write_hex(end, digest, VELO_SHA256_BYTES), ".b");
}

/* Copies and hashes at once: under a name of its own first. */
static int keep(const char *path, uint8_t digest[VELO_SHA256_BYTES])
{
    static _Atomic uint32_t number;
    char temporary[VELO_UNIT_MAX], kept[sizeof velo_the_region.directory + 80];
    struct velo_sha256 hash;
    char *end = stpcpy(stpcpy(temporary, velo_the_region.directory), VELO_LOG_DIRECTORY "/");
    end += velo_write_decimal(end, (uint64_t)velo_sys0(SYS_getpid));
    *end++ = '.';
    end += velo_write_decimal(end, atomic_fetch_add(&number, 1));
    strcpy(end, ".t");
    const int from = velo_probe_open(path);
    const int to = from < 0 ? from
                            : (int)raw_openat(AT_FDCWD, temporary,
                                              O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    unsigned char *buffer = to < 0 ? NULL : velo_buffer_take();
    long got = to < 0 ? to : buffer == NULL ? -ENOMEM : 1;
    velo_sha256_begin(&hash);
    while (got > 0) {
        got = velo_sys3(SYS_read, from, velo_word(buffer), VELO_BUFFER_BYTES);
        if (got > 0) {
            velo_sha256_add(&hash, buffer, (size_t)got);
            if (velo_sys3(SYS_write, to, velo_word(buffer), got) != got)
                got = -ENOSPC;
        }
    }
    velo_sha256_end(&hash, digest);
    velo_buffer_give(buffer);
    if (from >= 0)
        raw_close(from);
    if (to >= 0)
        raw_close(to);
    kept_path(digest, kept);
    if (got == 0)
        got = raw_rename(AT_FDCWD, temporary, AT_FDCWD, kept, 0);
    if (got != 0 && to >= 0)
        raw_unlink(AT_FDCWD, temporary, 0);
    return (int)got;
}

static void describe(const struct velo_probed *probed, struct velo_hosted *out)
{
    const struct stat *stat = &probed->stat;
    *out = (struct velo_hosted){.size = (uint64_t)stat->st_size,
                                .inode = stat->st_ino,
                                .mtime_ns = velo_ns(&stat->st_mtim),
                                .ctime_ns = velo_ns(&stat->st_ctim),
                                .mode = stat->st_mode};
}

static bool is_same(const struct velo_probed *one, const struct velo_probed *other)
{
    return one->node.slot == other->node.slot && one->generation == other->generation &&
           one->version == other->version && one->stat.st_size == other->stat.st_size &&
           velo_ns(&one->stat.st_mtim) == velo_ns(&other->stat.st_mtim);
}

static void freeze_path(struct velo_log *log, const char *path, bool written, bool listed)
{
    struct velo_probed probed;
    struct velo_hosted hosted = {0};
    char text[PATH_MAX] = "";
    struct velo_place place;
    /* Nearly all are outside, and the kernel is not asked for them now. */
    if (velo_claim(AT_FDCWD, path, written ? VELO_WALK_NOFOLLOW : 0, &place) != VELO_OURS)
        return;
    const int rc = velo_probe(path, !written, &probed);
    if (!probed.hosted)
        return;
    if (rc == 0)
        describe(&probed, &hosted);
    if (rc == 0 && S_ISREG(probed.stat.st_mode)) {
        if (written) {
            hosted.kept = probed.stat.st_size <= (off_t)KEPT_MAX && keep(path, hosted.digest) == 0;
            struct velo_probed after;
            if (hosted.kept && velo_probe(path, false, &after) == 0 && is_same(&after, &probed))
                velo_digest_known(path, &after, hosted.digest);
        } else {
            hosted.kept = probed.stat.st_size <= (off_t)HASHED_MAX &&
                          velo_digest_of(path, &probed, hosted.digest) == 0;
        }
    } else if (rc == 0 && S_ISDIR(probed.stat.st_mode) && listed) {
        hosted.kept = velo_names_of(path, hosted.digest) == 0;
    } else if (rc == 0 && S_ISLNK(probed.stat.st_mode) &&
               velo_claim(AT_FDCWD, path, VELO_WALK_NOFOLLOW, &place) == VELO_OURS) {
        const ssize_t length = velo_readlink(velo_here(), &place, text, sizeof text - 1);
        text[length < 0 ? 0 : length] = 0;
    }
    char both[sizeof hosted + PATH_MAX];
    const size_t length = strlen(path) + 1;
    memcpy(both, &hosted, sizeof hosted);
    memcpy(both + sizeof hosted, path, length);
    velo_log_append(log, VELO_RECORD_HOSTED,
                    written  ? 1
                    : listed ? 2
                             : 0,
                    both, sizeof hosted + length, text, strlen(text) + 1);
}

static bool names_input(unsigned kind)
{
    return kind == VELO_RECORD_READ || kind == VELO_RECORD_STAT || kind == VELO_RECORD_LSTAT ||
           kind == VELO_RECORD_ACCESS || kind == VELO_RECORD_NO_LINK ||
           kind == VELO_RECORD_PROGRAM || kind == VELO_RECORD_OBJECT;
}

static bool names_output(unsigned kind)
{
    return kind == VELO_RECORD_WRITE || kind == VELO_RECORD_MKDIR || kind == VELO_RECORD_SYMLINK ||
           kind == VELO_RECORD_CHMOD || kind == VELO_RECORD_GONE || kind == VELO_RECORD_RENAME;
}

static void note_alive(struct velo_log *log, const struct velo_record *record, uint32_t *last)
{
    if ((record->kind != VELO_RECORD_PROGRAM && record->kind != VELO_RECORD_FORKED) ||
        record->process == *last)
        return;
    *last = record->process;
    if (record->process != log->root && velo_sys2(SYS_kill, record->process, 0) != -ESRCH)
        log->alive = record->process;
}

void velo_freeze(struct velo_log *log)
{
    const uint64_t end = atomic_load(&log->cursor);
    struct seen *seen = velo_os_memory(sizeof *seen);
    if (seen == NULL)
        return; /* the sealer misses the descriptions, and does not cache the step */
    uint32_t last = 0;
    for (uint64_t offset = sizeof *log; offset + sizeof(struct velo_record) <= end;) {
        const struct velo_record *record =
            (const struct velo_record *)((const unsigned char *)log + offset);
        const uint32_t size = atomic_load_explicit(&record->size, memory_order_acquire);
        if (size == 0)
            break; /* torn: the sealer finds the same */
        const char *path = (const char *)(record + 1);
        const bool written = names_output(record->kind);
        note_alive(log, record, &last);
        if ((written || names_input(record->kind)) && is_first(seen, path, written))
            freeze_path(log, path, written, false);
        if (record->kind == VELO_RECORD_LIST && is_first(seen, path, 2))
            freeze_path(log, path, false, true);
        const bool is_two =
            record->kind == VELO_RECORD_RENAME || record->kind == VELO_RECORD_SECOND_NAME;
        if (is_two && is_first(seen, path + strlen(path) + 1, 1))
            freeze_path(log, path + strlen(path) + 1, true, false);
        offset += size;
    }
    velo_os_unmap(seen, sizeof *seen);
}
