/* restore.c - files, directories and symlinks of an entry, put back by the calls that made them.
 *
 * Bytes come from the index itself, or from the store, and are hashed on their way: a blob that was cut or flipped
 * is refused, and the step runs. */
#include "restore.h"

#include "kernel/os.h"
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
    velo_write_credit_charge(fd, count);
    while (count > 0) {
        const long done = velo_sys3(SYS_write, fd, velo_word(bytes), count);
        if (done < 0)
            return (int)done;
        bytes += done;
        count -= (size_t)done;
    }
    return 0;
}

static void blob_path(const struct velo_index *index, const uint8_t digest[VELO_SHA256_BYTES],
                      char path[PATH_MAX])
{
    static const char digits[] = "0123456789abcdef";
    char *end = stpcpy(path, velo_index_at(index, index->store));
    *end++ = '/';
    for (int i = 0; i < VELO_SHA256_BYTES; i++) {
        if (i == 1)
            *end++ = '/';
        *end++ = digits[digest[i] >> 4];
        *end++ = digits[digest[i] & 15];
    }
    *end = 0;
}

static int copy_blob(const struct velo_index *index, const struct velo_output *output, int to)
{
    char path[PATH_MAX];
    struct velo_sha256 hash;
    uint8_t digest[VELO_SHA256_BYTES];
    blob_path(index, output->digest, path);
    const int fd = (int)raw_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0);
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

/* What a program that truncates in place would meet must be what `open` here meets. */
static int open_output(struct velo_place *place, mode_t mode)
{
    struct velo_region *region = velo_here();
    struct stat before;
    if (place->type != VELO_NONE &&
        (place->type != VELO_REGULAR || velo_stat(region, place, &before) != 0 ||
         before.st_nlink != 1))
        return -EEXIST;
    const int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC;
    const int fd = velo_open(region, place, flags, mode);
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

static int restore_file(const struct velo_index *index, const struct velo_output *output,
                        const char *path, int64_t stamp)
{
    struct velo_place place;
    struct velo_probed probed;
    int rc = place_of(path, &place);
    if (rc != 0)
        return rc;
    const int fd = open_output(&place, output->mode & 0777);
    if (fd < 0)
        return fd;
    rc = output->bytes != 0 || output->size == 0
             ? write_all(fd, velo_index_at(index, output->bytes), output->size)
             : copy_blob(index, output, fd);
    if (rc == 0)
        dress(fd, output->mode & 07777, stamp);
    raw_close(fd);
    velo_write_credit_set(fd, 0);
    if (rc == 0 && velo_probe(path, true, &probed) == 0)
        velo_digest_known(path, &probed, output->digest);
    return rc;
}

static int restore_directory(const struct velo_output *output, struct velo_place *place)
{
    const int rc = velo_mkdir(velo_here(), place, output->mode & 07777);
    return rc == -EEXIST && place->type == VELO_DIRECTORY ? 0 : rc;
}

static int restore_symlink(const char *text, struct velo_place *place)
{
    char found[PATH_MAX];
    if (place->type == VELO_SYMLINK) {
        const ssize_t length = velo_readlink(velo_here(), place, found, sizeof found);
        if (length == (ssize_t)strlen(text) && memcmp(found, text, (size_t)length) == 0)
            return 0;
    }
    return velo_symlink(velo_here(), text, place);
}

static int remove_output(struct velo_place *place)
{
    const int rc = place->type == VELO_DIRECTORY ? velo_rmdir(velo_here(), place)
                                                 : velo_unlink(velo_here(), place);
    return rc == -ENOENT ? 0 : rc;
}

static int restore_one(const struct velo_index *index, const struct velo_output *output,
                       int64_t stamp)
{
    const char *path = velo_index_at(index, output->path);
    struct velo_place place;
    if (output->kind == VELO_OUTPUT_FILE)
        return restore_file(index, output, path, stamp);
    const int rc = place_of(path, &place);
    if (rc != 0)
        return rc == -ENOENT && output->kind == VELO_OUTPUT_GONE ? 0 : rc;
    if (output->kind == VELO_OUTPUT_DIRECTORY)
        return restore_directory(output, &place);
    if (output->kind == VELO_OUTPUT_SYMLINK)
        return restore_symlink(velo_index_at(index, output->bytes), &place);
    return remove_output(&place);
}

int velo_restore(const struct velo_index *index, const struct velo_entry *entry, int64_t stamp)
{
    const struct velo_output *outputs = velo_index_at(index, entry->outputs);
    int rc = 0;
    for (uint32_t i = 0; i < entry->output_count && rc == 0; i++)
        rc = restore_one(index, &outputs[i], stamp);
    return rc;
}
