/* dir.c - directory streams.
 *
 * A hosted directory's stream is our own struct: a snapshot of the namespace, taken at the first read
 * and at the first after rewinddir, as libc fills its buffer. So a program that removes or adds names
 * while it reads sees each other name once. The stream holds a real descriptor of the directory on
 * disk, for dirfd, fchdir and the offset, which forked children share.
 * A plain directory's stream stays libc's; libc's begin with a descriptor >= 0, which is how the
 * two are told apart, twice checked.
 *
 * Like libc's, these functions allocate; they are not for signal handlers. */
#include <dirent.h>
#include <stdlib.h>

#include "preload/path/claim.h"
#include "preload/base/raw.h"
#include "preload/replay/unit.h"
#include "dir.h"
#include "open.h"
#include "walk.h"

#define FIRST_BYTES 4096u
/* Another one when the directory was removed and its slot is used again. */
#define GENERATION(node) velo_generation_of(velo_here(), node)

struct stream {
    int32_t never_a_descriptor; /* libc has the descriptor here */
    uint32_t mark;
    const void *owner; /* &stream_owner */
    struct stream *self;
    int fd;
    velo_node_id node; /* of the directory */
    uint32_t generation;
    bool is_taken;   /* the snapshot */
    size_t position; /* bytes into `entries`; also what telldir gives */
    size_t used, size;
    unsigned char *entries; /* struct dirent64, one behind the other */
};

static const char stream_owner;

static struct stream *ours(DIR *directory)
{
    struct stream *stream = (void *)directory;
    if (stream == NULL || stream->never_a_descriptor != VELO_NEVER_A_DESCRIPTOR)
        return NULL;
    const bool is = stream->mark == VELO_STREAM_MARK && stream->owner == &stream_owner &&
                    stream->self == stream;
    return is ? stream : NULL;
}

/* ---- the snapshot ---------------------------------------------------------------------------- */

static int add(void *context, const char *name, size_t length, uint64_t inode, unsigned char type)
{
    struct stream *stream = context;
    const size_t bytes = (offsetof(struct dirent64, d_name) + length + 1 + 7) & ~(size_t)7;
    if (stream->used + bytes > stream->size) {
        const size_t size = stream->size == 0 ? FIRST_BYTES : stream->size * 2;
        void *grown = realloc(stream->entries, size);
        if (grown == NULL)
            return -ENOMEM;
        stream->entries = grown;
        stream->size = size;
    }
    struct dirent64 *entry = (void *)(stream->entries + stream->used);
    stream->used += bytes;
    entry->d_ino = inode;
    entry->d_off = (off_t)stream->used;
    entry->d_reclen = (unsigned short)bytes;
    entry->d_type = type;
    memcpy(entry->d_name, name, length);
    entry->d_name[length] = 0;
    return 0;
}

/* The kernel's own listing, for watchers of the directory: the kernel announces it as an access. */
static void announce(const struct stream *stream)
{
    unsigned char entries[2048];
    long got;
    if (!velo_listing_is_heard(velo_here(), stream->node))
        return;
    do
        got = velo_sys3(SYS_getdents64, stream->fd, velo_word(entries), sizeof entries);
    while (got > 0);
}

/* 0, or -errno; a directory that is gone has no entries, not even dots, as on disk. */
static int take_snapshot(struct stream *stream)
{
    uint64_t dot = 0, dotdot = 0;
    stream->used = stream->position = 0;
    stream->is_taken = true;
    /* The kernel's offset goes where reading all of the directory would leave it: a forked child, which shares
     * the descriptor, finds the end there. An error: O_PATH, or the program closed it by its number. */
    const long read_by_others = velo_sys3(SYS_lseek, stream->fd, 0, SEEK_CUR);
    if (read_by_others != 0)
        return read_by_others < 0 ? (int)read_by_others : 0;
    announce(stream);
    velo_sys3(SYS_lseek, stream->fd, 0, SEEK_END);
    const bool gone = GENERATION(stream->node) != stream->generation;
    int rc = gone ? -ENOENT : velo_list_dots(velo_here(), stream->node, &dot, &dotdot);
    if (rc == 0)
        rc = add(stream, ".", 1, dot, DT_DIR);
    if (rc == 0)
        rc = add(stream, "..", 2, dotdot, DT_DIR);
    if (rc == 0)
        rc = velo_list(velo_here(), stream->node, add, stream);
    if (rc == -ENOENT)
        stream->used = 0;
    return rc == -ENOENT ? 0 : rc;
}

static void stream_free(struct stream *stream)
{
    stream->self = NULL;
    stream->owner = NULL;
    free(stream->entries);
    free(stream);
}

/* A stream on `fd`, which stays the caller's on failure. */
static DIR *stream_new(int fd, velo_node_id node)
{
    struct stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL)
        return NULL;
    *stream = (struct stream){.never_a_descriptor = VELO_NEVER_A_DESCRIPTOR,
                              .mark = VELO_STREAM_MARK,
                              .owner = &stream_owner,
                              .self = stream,
                              .fd = fd,
                              .node = node,
                              .generation = GENERATION(node)};
    return (void *)stream;
}

/* ---- opening --------------------------------------------------------------------------------- */

static DIR *open_hosted(struct velo_place *place)
{
    const int wrong = place->at.type == VELO_NONE        ? -ENOENT
                      : place->at.type != VELO_DIRECTORY ? -ENOTDIR
                                                         : 0;
    const int flags = O_RDONLY | O_NONBLOCK | O_DIRECTORY | O_CLOEXEC;
    const int fd = wrong != 0 ? wrong : velo_open_standing(place, flags, 0);
    if (velo_answer(fd) < 0)
        return NULL;
    DIR *directory = stream_new(fd, place->at.node);
    if (directory == NULL)
        raw_close(fd);
    return directory;
}

DIR *velo_opendir_at(int dirfd, const char *path, bool *is_plain)
{
    struct velo_place place;
    const int claimed = velo_claim(dirfd, path, 0, &place);
    *is_plain = claimed == VELO_NOT_OURS;
    if (claimed == VELO_NOT_OURS)
        return NULL;
    if (claimed > 0)
        return open_hosted(&place);
    velo_answer(claimed);
    return NULL;
}

EXPORT DIR *opendir(const char *path)
{
    bool is_plain = false;
    DIR *directory = velo_opendir_at(AT_FDCWD, path, &is_plain);
    if (is_plain)
        directory = NEXT(opendir)(path);
    velo_saw_errno(VELO_RECORD_LIST, AT_FDCWD, path, directory == NULL ? -1 : 0);
    if (directory != NULL)
        velo_saw_directory(AT_FDCWD, path, dirfd(directory));
    return directory;
}

EXPORT DIR *fdopendir(int fd)
{
    struct velo_region *region = velo_here();
    struct stat stat;
    velo_node_id node = VELO_NO_NODE;
    velo_saw(VELO_RECORD_LIST, fd, ".", 0);
    if (region != NULL && raw_fstat(fd, &stat) == 0 && S_ISDIR(stat.st_mode))
        node = velo_node_of(region, &stat);
    if (!velo_is_node(node))
        return NEXT(fdopendir)(fd);
    DIR *directory = stream_new(fd, node);
    if (directory != NULL) /* as libc does, whatever its manual says */
        velo_sys3(SYS_fcntl, fd, F_SETFD, FD_CLOEXEC);
    return directory;
}

EXPORT int closedir(DIR *directory)
{
    struct stream *stream = ours(directory);
    if (stream == NULL)
        return NEXT(closedir)(directory);
    const int fd = stream->fd;
    stream_free(stream);
    return (int)velo_answer(raw_close(fd));
}

EXPORT int dirfd(DIR *directory)
{
    struct stream *stream = ours(directory);
    return stream == NULL ? NEXT(dirfd)(directory) : stream->fd;
}

/* ---- reading --------------------------------------------------------------------------------- */

static struct dirent *read_hosted(struct stream *stream)
{
    if (!stream->is_taken && velo_answer(take_snapshot(stream)) < 0) {
        stream->is_taken = false; /* the next read says so again */
        return NULL;
    }
    if (stream->position >= stream->used)
        return NULL;
    struct dirent *entry = (void *)(stream->entries + stream->position);
    stream->position += entry->d_reclen;
    return entry;
}

EXPORT struct dirent *readdir(DIR *directory)
{
    struct stream *stream = ours(directory);
    return stream == NULL ? NEXT(readdir)(directory) : read_hosted(stream);
}
ALIAS(readdir64, readdir);

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
EXPORT int readdir_r(DIR *directory, struct dirent *entry, struct dirent **result)
{
    struct stream *stream = ours(directory);
    if (stream == NULL)
        return NEXT(readdir_r)(directory, entry, result);
    struct dirent *found = read_hosted(stream);
    if (found != NULL)
        memcpy(entry, found, found->d_reclen);
    *result = found == NULL ? NULL : entry;
    return 0;
}
ALIAS(readdir64_r, readdir_r);
#pragma GCC diagnostic pop

EXPORT void rewinddir(DIR *directory)
{
    struct stream *stream = ours(directory);
    if (stream == NULL) {
        NEXT(rewinddir)(directory);
        return;
    }
    stream->position = 0;
    stream->is_taken = false;
    velo_sys3(SYS_lseek, stream->fd, 0, SEEK_SET);
}

/* The entry there, or the next one: the position may be of what was read before a rewinddir. */
static size_t entry_from(const struct stream *stream, size_t position)
{
    size_t at = 0;
    while (at < position && at < stream->used)
        at += ((const struct dirent64 *)(const void *)(stream->entries + at))->d_reclen;
    return at;
}

EXPORT void seekdir(DIR *directory, long position)
{
    struct stream *stream = ours(directory);
    if (stream == NULL) {
        NEXT(seekdir)(directory, position);
        return;
    }
    if (!stream->is_taken) /* what goes wrong, the next read says again */
        stream->is_taken = take_snapshot(stream) == 0;
    stream->position = entry_from(stream, position < 0 ? 0 : (size_t)position);
}

EXPORT long telldir(DIR *directory)
{
    struct stream *stream = ours(directory);
    return stream == NULL ? NEXT(telldir)(directory) : (long)stream->position;
}

/* ---- raw reading ----------------------------------------------------------------------------- */

/* Numbers and types as stat says them, where the disk's are others. */
static void correct(struct velo_region *region, velo_node_id directory, struct dirent64 *entry)
{
    static const unsigned char types[] = {
        [VELO_REGULAR] = DT_REG, [VELO_DIRECTORY] = DT_DIR, [VELO_SYMLINK] = DT_LNK};
    uint64_t dot, dotdot;
    struct velo_place place;
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
        if (velo_list_dots(region, directory, &dot, &dotdot) == 0)
            entry->d_ino = entry->d_name[1] == 0 ? dot : dotdot;
        return;
    }
    if (velo_walk_at(region, directory, entry->d_name, VELO_WALK_NOFOLLOW, &place) != 0 ||
        place.at.kind != VELO_HOSTED || !velo_is_node(place.at.node))
        return;
    entry->d_ino = velo_inode_of(region, place.at.node);
    if (place.at.type != VELO_OTHER)
        entry->d_type = types[place.at.type];
}

/* The entries that the kernel gave, without files on their way to their real path. Bytes left. */
static long correct_all(struct velo_region *region, velo_node_id directory, unsigned char *buffer,
                        long size)
{
    long kept = 0;
    for (long at = 0; at < size;) {
        struct dirent64 *entry = (struct dirent64 *)(void *)(buffer + at);
        const unsigned short length = entry->d_reclen;
        at += length;
        if (velo_is_temporary(entry->d_name))
            continue;
        correct(region, directory, entry);
        memmove(buffer + kept, entry, length);
        kept += length;
    }
    return kept;
}

/* A program that reads entries itself keeps its place in the kernel's descriptor, so it is given
 * the kernel's view: everything is put on disk when it begins. */
EXPORT ssize_t getdents64(int fd, void *buffer, size_t size)
{
    velo_saw(VELO_RECORD_LIST, fd, ".", 0);
    struct velo_region *region = velo_here();
    const velo_node_id directory = region == NULL ? VELO_NO_NODE : velo_node_of_fd(region, fd);
    if (velo_is_node(directory) && velo_sys3(SYS_lseek, fd, 0, SEEK_CUR) == 0)
        velo_flush_tree(region);
    long got;
    do {
        got = velo_sys3(SYS_getdents64, fd, velo_word(buffer), size);
        if (!velo_is_node(directory) || got <= 0)
            return velo_answer(got);
        got = correct_all(region, directory, buffer, got);
    } while (got == 0); /* nothing but such files: not the end yet */
    return got;
}

EXPORT ssize_t getdirentries(int fd, char *restrict buffer, size_t size, off_t *restrict base)
{
    velo_saw(VELO_RECORD_LIST, fd, ".", 0);
    struct velo_region *region = velo_here();
    if (region != NULL && velo_is_node(velo_node_of_fd(region, fd)))
        velo_flush_tree(region);
    return NEXT(getdirentries)(fd, buffer, size, base);
}
ALIAS(getdirentries64, getdirentries);
