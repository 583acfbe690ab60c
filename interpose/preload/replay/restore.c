/* restore.c - files, directories and symlinks of an entry, put back by the calls that made them.
 *
 * Bytes come from the index itself, or from the store, and are hashed on their way: a blob that was cut or flipped
 * is refused, and the step runs. Before that, all that was made here is removed again, since the step may append to a
 * file, or look whether one is there. */
#include "restore.h"

#include "kernel/os.h"
#include "kernel/text.h"
#include "probe.h"
#include "preload/base/raw.h"
#include "preload/path/claim.h"
#include "preload/write/credit.h"

static int place_of(const char *path, struct velo_place *place)
{
    const int claimed = velo_claim(AT_FDCWD, path, VELO_WALK_NOFOLLOW | VELO_WALK_LAST, place);
    return claimed < 0 ? claimed : claimed == VELO_OURS ? 0 : -EXDEV;
}

static int write_all(int fd, const unsigned char *bytes, size_t count)
{
    if (velo_write_credit(fd) != 0)
        velo_write_credit_charge(fd, count);
    while (count > 0) {
        const long done =
            WRITING(fd, count, velo_answer(velo_sys3(SYS_write, fd, velo_word(bytes), count)));
        if (done < 0)
            return -errno;
        bytes += done;
        count -= (size_t)done;
    }
    return 0;
}

static void blob_path(const struct velo_index *index, const uint8_t digest[VELO_SHA256_BYTES],
                      char path[PATH_MAX])
{
    char *end = stpcpy(stpcpy(path, velo_index_at(index, index->store)), "/");
    end = stpcpy(velo_write_hex(end, digest, 1), "/");
    velo_write_hex(end, digest + 1, VELO_SHA256_BYTES - 1);
}

static int copy_blob(const struct velo_index *index, const struct velo_output *output, int to)
{
    char path[PATH_MAX];
    struct velo_sha256 hash;
    uint8_t digest[VELO_SHA256_BYTES];
    blob_path(index, output->digest, path);
    const int fd =
        (int)raw_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0);
    if (fd < 0)
        return fd;
    unsigned char *buffer = velo_buffer_take();
    int rc = buffer == NULL ? -ENOMEM : 0;
    velo_sha256_begin(&hash);
    for (uint64_t left = output->size; rc == 0 && left > 0;) {
        const long got = velo_sys3(SYS_read, fd, velo_word(buffer), VELO_BUFFER_BYTES);
        if (got <= 0 || (uint64_t)got > left) {
            rc = got < 0 ? (int)got : -EIO;
            break;
        }
        velo_sha256_add(&hash, buffer, (size_t)got);
        rc = write_all(to, buffer, (size_t)got);
        left -= (uint64_t)got;
    }
    velo_sha256_end(&hash, digest);
    velo_buffer_give(buffer);
    raw_close(fd);
    return rc == 0 && memcmp(digest, output->digest, sizeof digest) != 0 ? -EIO : rc;
}

/* Most of what may be wrong with a blob is seen before anything is changed. */
static bool has_blobs(const struct velo_index *index, const struct velo_entry *entry)
{
    const struct velo_output *outputs = velo_index_at(index, entry->outputs);
    char path[PATH_MAX];
    for (uint32_t i = 0; i < entry->output_count; i++) {
        const struct velo_output *output = &outputs[i];
        struct stat stat;
        if (output->kind != VELO_OUTPUT_FILE || output->bytes != 0 || output->size == 0)
            continue;
        blob_path(index, output->digest, path);
        if (velo_sys4(SYS_newfstatat, AT_FDCWD, velo_word(path), velo_word(&stat),
                      AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISREG(stat.st_mode) || (uint64_t)stat.st_size != output->size)
            return false;
    }
    return true;
}

/* A file that is there must have the recorded mode: `open` here keeps the mode, as a program does that truncates in
 * place. */
static int open_output(struct velo_place *place, mode_t mode)
{
    struct velo_region *region = velo_here();
    struct stat before;
    if (place->at.type != VELO_NONE &&
        (place->at.type != VELO_REGULAR || velo_stat(region, place, &before) != 0 ||
         before.st_nlink != 1 || (before.st_mode & 07777) != mode))
        return -EEXIST;
    const int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC;
    const int fd = velo_open(region, place, flags, mode & 0777);
    velo_write_credit_open(fd, flags);
    return fd;
}

static void dress(int fd, mode_t mode, int64_t stamp)
{
    struct velo_region *region = velo_here();
    struct stat now;
    const struct timespec times[2] = {velo_timespec(stamp), velo_timespec(stamp)};
    const int hosted = velo_descriptor_changing(region, fd);
    if (raw_fstat(fd, &now) == 0 && (now.st_mode & 07777) != mode)
        velo_sys2(SYS_fchmod, fd, mode);
    velo_sys4(SYS_utimensat, fd, 0, velo_word(times), 0);
    if (hosted)
        velo_descriptor_changed(region, fd, 1);
}

static int fill(const struct velo_index *index, const struct velo_output *output, int fd)
{
    return output->bytes != 0 || output->size == 0
               ? write_all(fd, velo_index_at(index, output->bytes), output->size)
               : copy_blob(index, output, fd);
}

/* A kill on the way leaves what a kill of the step itself would leave. */
static int restore_in_place(const struct velo_index *index, const struct velo_output *output,
                            const char *path, struct velo_place *place, int64_t stamp)
{
    struct velo_probed probed;
    const int fd = open_output(place, output->mode & 07777);
    if (fd < 0)
        return fd;
    const int rc = fill(index, output, fd);
    if (rc == 0)
        dress(fd, output->mode & 07777, stamp);
    raw_close(fd);
    velo_write_credit_set(fd, 0);
    if (rc == 0 && velo_probe(path, true, &probed) == 0)
        velo_digest_known(path, &probed, output->digest);
    return rc;
}

/* A process that is killed on the way leaves no file that a build tool would believe. */
static int restore_whole(const struct velo_index *index, const struct velo_output *output,
                         const char *path, const struct velo_place *place, int64_t stamp)
{
    struct velo_region *region = velo_here();
    struct velo_whole whole;
    int rc = velo_whole_begin(region, place, output->mode & 0777, output->size, &whole);
    if (rc != 0)
        return rc;
    velo_write_credit_set(whole.fd, 0); /* of a file that had the number before */
    rc = fill(index, output, whole.fd);
    if (rc != 0) {
        velo_whole_abandon(&whole);
        return rc;
    }
    rc = velo_whole_end(region, place, &whole, output->mode & 07777, stamp);
    if (rc != 0)
        return rc;
    struct velo_probed probed = {.stat = whole.stat,
                                 .hosted = true,
                                 .node = whole.node,
                                 .generation = whole.generation,
                                 .version = whole.version};
    probed.stat.st_size = (off_t)output->size;
    velo_digest_known(path, &probed, output->digest);
    return 0;
}

static int restore_file(const struct velo_index *index, const struct velo_output *output,
                        const char *path, struct velo_place *place, int64_t stamp)
{
    const int rc = restore_whole(index, output, path, place, stamp);
    return rc == -EXDEV || rc == -ENOSPC ? restore_in_place(index, output, path, place, stamp) : rc;
}

/* A directory that is there keeps its mode, as mkdir -p leaves it; a new one also gets bits that the umask takes. */
static int restore_directory(const struct velo_output *output, const char *path,
                             struct velo_place *place)
{
    const mode_t mode = output->mode & 07777;
    struct stat made;
    int rc = velo_mkdir(velo_here(), place, mode);
    if (rc != 0)
        return rc == -EEXIST && place->at.type == VELO_DIRECTORY ? 0 : rc;
    rc = place_of(path, place);
    if (rc == 0)
        rc = velo_stat(velo_here(), place, &made);
    return rc == 0 && (made.st_mode & 07777) != mode ? velo_chmod(velo_here(), place, mode) : rc;
}

/* A hosted directory that is not there yet is the kernel's: it becomes hosted when something is made in it. */
static int restore_root(const char *path, mode_t mode)
{
    struct stat made;
    const int rc = (int)raw_mkdir(AT_FDCWD, path, mode);
    if (rc != 0 || raw_statat(AT_FDCWD, path, &made, AT_SYMLINK_NOFOLLOW) != 0)
        return rc;
    return (made.st_mode & 07777) != mode ? (int)raw_chmod(AT_FDCWD, path, mode) : 0;
}

static int restore_symlink(const char *text, struct velo_place *place)
{
    char found[PATH_MAX];
    if (place->at.type == VELO_SYMLINK) {
        const ssize_t length = velo_readlink(velo_here(), place, found, sizeof found);
        if (length == (ssize_t)strlen(text) && memcmp(found, text, (size_t)length) == 0)
            return 0;
    }
    return velo_symlink(velo_here(), text, place);
}

static int remove_output(struct velo_place *place)
{
    const int rc = place->at.type == VELO_DIRECTORY ? velo_rmdir(velo_here(), place)
                                                    : velo_unlink(velo_here(), place);
    return rc == -ENOENT ? 0 : rc;
}

static int restore_one(const struct velo_index *index, const struct velo_output *output,
                       int64_t stamp, bool *new)
{
    const char *path = velo_index_at(index, output->path);
    struct velo_place place;
    const int rc = place_of(path, &place);
    *new = rc == 0 && place.at.type == VELO_NONE && output->kind != VELO_OUTPUT_GONE;
    if (rc == -EXDEV && output->kind == VELO_OUTPUT_DIRECTORY) {
        *new = true;
        return restore_root(path, output->mode & 07777);
    }
    if (rc != 0)
        return rc == -ENOENT && output->kind == VELO_OUTPUT_GONE ? 0 : rc;
    if (output->kind == VELO_OUTPUT_FILE)
        return restore_file(index, output, path, &place, stamp);
    if (output->kind == VELO_OUTPUT_DIRECTORY)
        return restore_directory(output, path, &place);
    if (output->kind == VELO_OUTPUT_SYMLINK)
        return restore_symlink(velo_index_at(index, output->bytes), &place);
    return remove_output(&place);
}

static void take_back(const char *path)
{
    struct velo_place place;
    const int rc = place_of(path, &place);
    if (rc == -EXDEV) /* restore_root made it, and nothing is in it */
        raw_unlink(AT_FDCWD, path, AT_REMOVEDIR);
    else if (rc == 0 && place.at.type != VELO_NONE)
        remove_output(&place);
}

void velo_restore_undo(const struct velo_index *index, const struct velo_entry *entry,
                       const struct velo_restored *restored)
{
    const struct velo_output *outputs = velo_index_at(index, entry->outputs);
    for (uint32_t i = restored->count; i-- > 0;)
        if ((restored->made[i / 8] >> i % 8 & 1) != 0)
            take_back(velo_index_at(index, outputs[i].path));
}

int velo_restore(const struct velo_index *index, const struct velo_entry *entry, int64_t stamp,
                 struct velo_restored *restored)
{
    const struct velo_output *outputs = velo_index_at(index, entry->outputs);
    int rc = 0;
    memset(restored, 0, sizeof *restored);
    if (entry->output_count > VELO_OUTPUTS_MAX)
        return -E2BIG;
    if (!has_blobs(index, entry))
        return -ENOENT;
    for (uint32_t i = 0; i < entry->output_count && rc == 0; i++) {
        bool new;
        rc = restore_one(index, &outputs[i], stamp, &new);
        new = new && rc != -EEXIST; /* another process made it meanwhile */
        restored->made[i / 8] |= (uint8_t)(new << i % 8);
        restored->count = i + 1;
    }
    if (rc != 0)
        velo_restore_undo(index, entry, restored);
    return rc;
}
