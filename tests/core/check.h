/* check.h - what every test of the core starts from: an arena and a workspace of its own.
 *
 * In    nothing but the core itself (velo.h); no preload, no shard, no Python
 * Out   exit status 0, or the first failed check on stderr and 1
 * Never a file left in /dev/shm or in the temporary directory: whoever opened the bench removes it,
 *       also when a check failed (VELO_TEST_KEEP=1 keeps it, to look at).  Children of a test end
 *       with _exit, so only the opener cleans.
 *
 * The workspace has two directories: `build` is hosted, `plain` is the kernel's, so that the same
 * operation can be done in both and compared (both.h). */
#ifndef VELO_TESTS_CORE_CHECK_H
#define VELO_TESTS_CORE_CHECK_H

#include "core/velo.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            check_failed(__FILE__, __LINE__, #condition, 0, 0);                                    \
    } while (0)
#define CHECK_EQ(got, want)                                                                        \
    do {                                                                                           \
        const long got_ = (long)(got), want_ = (long)(want);                                       \
        if (got_ != want_)                                                                         \
            check_failed(__FILE__, __LINE__, #got " == " #want, got_, want_);                      \
    } while (0)
#define RUN(test) (printf("  " #test "\n"), fflush(stdout), test())

#define BENCH_SHARDS 2u
#define BENCH_MEMORY_BYTES (64ull << 20)

struct bench {
    struct velo_region region;
    pid_t owner;
    char arena[96], workspace[96];
    int poison;     /* set before bench_open: the arena has poison (poison.h) */
    char note[256]; /* what a random test was doing, for the message of a failed check */
};
static struct bench bench;

static inline int bench_remove_one(const char *path, const struct stat *st, int type,
                                   struct FTW *walk)
{
    (void)st, (void)type, (void)walk;
    return remove(path);
}

/* 1: the walk begins again. */
static inline int bench_open_one(const char *path, const struct stat *st, int type,
                                 struct FTW *walk)
{
    (void)walk;
    return type != FTW_NS && S_ISDIR(st->st_mode) && (st->st_mode & 0700) != 0700 &&
           chmod(path, st->st_mode | 0700) == 0;
}
static inline void bench_remove(void)
{
    if (bench.owner != getpid() || getenv("VELO_TEST_KEEP") != NULL)
        return;
    nftw(bench.arena, bench_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    /* What is closed, even to its owner, is opened from above, one directory in each walk. */
    for (int depth = 0; depth < 4096; depth++)
        if (nftw(bench.workspace, bench_open_one, 16, FTW_PHYS) != 1)
            break;
    nftw(bench.workspace, bench_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    bench.owner = 0;
}

static inline void check_failed(const char *file, int line, const char *what, long got, long want)
{
    fprintf(stderr, "%s:%d: %s: got %ld, want %ld %s\n", file, line, what, got, want, bench.note);
    if (bench.owner != getpid())
        _exit(1);
    exit(1);
}

/* ---- the bench ------------------------------------------------------------------------------- */

static inline void bench_open_with(uint64_t memory_bytes)
{
    static int count;
    const char *patterns[] = {"build/"};
    const char *temporary = getenv("TMPDIR");
    snprintf(bench.arena, sizeof bench.arena, "/dev/shm/velo-test-%d-%d", getpid(), ++count);
    snprintf(bench.workspace, sizeof bench.workspace, "%.40s/velo-test-%d-%d",
             temporary != NULL ? temporary : "/tmp", getpid(), count);
    if (count == 1)
        atexit(bench_remove);
    bench.owner = getpid();
    umask(022);
    char build[128], plain[128];
    snprintf(build, sizeof build, "%s/build", bench.workspace);
    snprintf(plain, sizeof plain, "%s/plain", bench.workspace);
    CHECK_EQ(mkdir(bench.arena, 0755), 0);
    CHECK_EQ(mkdir(bench.workspace, 0755), 0);
    CHECK_EQ(mkdir(build, 0755), 0);
    CHECK_EQ(mkdir(plain, 0755), 0);
    const struct velo_options options = {.workspace = bench.workspace,
                                         .socket = "/nobody/listens",
                                         .patterns = patterns,
                                         .pattern_count = 1,
                                         .shard_count = BENCH_SHARDS,
                                         .max_memory_bytes = memory_bytes,
                                         .poison = bench.poison};
    CHECK_EQ(velo_region_create(bench.arena, &options), 0);
    CHECK_EQ(velo_region_attach(&bench.region, bench.arena), 0);
}

static inline void bench_open(void)
{
    bench_open_with(BENCH_MEMORY_BYTES);
}

/* The namespace is whole; call it often. */
static inline void bench_check(void)
{
    char why[200] = "";
    if (velo_check(&bench.region, why, sizeof why) != 0) {
        snprintf(bench.note, sizeof bench.note, "(%.200s)", why);
        CHECK_EQ(velo_check(&bench.region, why, sizeof why), 0);
    }
}

/* Check, and take everything away: the next bench_open starts from nothing. */
static inline void bench_close(void)
{
    bench_check();
    bench_remove();
    velo_region_detach(&bench.region); /* not at exit: a thread may still be in there */
}

/* ---- hosted names ---------------------------------------------------------------------------- */

/* Absolute path of a name relative to the workspace; one buffer per call site is not needed, as
 * nobody keeps two: eight in turn. */
static inline const char *in_workspace(const char *relative)
{
    static _Thread_local char paths[8][2 * PATH_MAX];
    static _Thread_local unsigned turn;
    char *path = paths[turn++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", bench.workspace, relative);
    return path;
}

static inline int walk_to(const char *relative, unsigned flags, struct velo_place *place)
{
    return velo_walk(&bench.region, in_workspace(relative), flags, place);
}

/* Node of an existing hosted name. */
static inline velo_node_id node_at(const char *relative)
{
    struct velo_place place;
    CHECK_EQ(walk_to(relative, VELO_WALK_NOFOLLOW, &place), 0);
    CHECK(place.at.kind == VELO_HOSTED && velo_is_node(place.at.node));
    return place.at.node;
}

static inline struct velo_node_info info_at(const char *relative)
{
    struct velo_node_info info = {0};
    CHECK_EQ(velo_node_info(&bench.region, node_at(relative), &info), 0);
    return info;
}

/* A descriptor or -errno, as open(2) of the program would end. */
static inline int hosted_open(const char *relative, int flags, mode_t mode)
{
    struct velo_place place;
    const int last =
        (flags & O_NOFOLLOW) != 0 || (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL);
    const int rc = walk_to(relative, last ? VELO_WALK_NOFOLLOW : 0, &place);
    return rc != 0 ? rc : velo_open(&bench.region, &place, flags, mode);
}

static inline int hosted_stat(const char *relative, struct stat *out)
{
    struct velo_place place;
    const int rc = walk_to(relative, VELO_WALK_NOFOLLOW, &place);
    return rc != 0 ? rc : velo_stat(&bench.region, &place, out);
}

static inline struct stat stat_at(const char *relative)
{
    struct stat st;
    CHECK_EQ(hosted_stat(relative, &st), 0);
    return st;
}

static inline int hosted_mkdir(const char *relative)
{
    struct velo_place place;
    const int rc = walk_to(relative, VELO_WALK_NOFOLLOW, &place);
    return rc != 0 ? rc : velo_mkdir(&bench.region, &place, 0755);
}

static inline int hosted_unlink(const char *relative)
{
    struct velo_place place;
    const int rc = walk_to(relative, VELO_WALK_NOFOLLOW, &place);
    return rc != 0 ? rc : velo_unlink(&bench.region, &place);
}

static inline int hosted_rename(const char *from, const char *to)
{
    struct velo_place a, b;
    int rc = walk_to(from, VELO_WALK_NOFOLLOW, &a);
    rc = rc != 0 ? rc : walk_to(to, VELO_WALK_NOFOLLOW, &b);
    return rc != 0 ? rc : velo_rename(&bench.region, &a, &b, 0);
}

static inline int hosted_link(const char *from, const char *to)
{
    struct velo_place a, b;
    int rc = walk_to(from, VELO_WALK_NOFOLLOW, &a);
    rc = rc != 0 ? rc : walk_to(to, VELO_WALK_NOFOLLOW, &b);
    return rc != 0 ? rc : velo_link(&bench.region, &a, &b);
}

static inline void write_all(int fd, const char *text)
{
    CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
}

/* Create or replace a hosted file with `text`. */
static inline void hosted_write(const char *relative, const char *text)
{
    const int fd = hosted_open(relative, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    CHECK(fd >= 0);
    write_all(fd, text);
    close(fd);
}

static inline int fd_says(int fd, const char *text)
{
    char got[4096];
    const ssize_t size = pread(fd, got, sizeof got, 0);
    return size == (ssize_t)strlen(text) && memcmp(got, text, (size_t)size) == 0;
}

static inline int hosted_says(const char *relative, const char *text)
{
    const int fd = hosted_open(relative, O_RDONLY | O_CLOEXEC, 0);
    CHECK(fd >= 0);
    const int same = fd_says(fd, text);
    close(fd);
    return same;
}

static inline int disk_says(const char *relative, const char *text)
{
    const int fd = open(in_workspace(relative), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    const int same = fd_says(fd, text);
    close(fd);
    return same;
}

/* What a program does that knows nothing of velo. */
static inline void outsider_writes(const char *name, const char *text)
{
    const int fd = open(in_workspace(name), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    CHECK(fd >= 0);
    write_all(fd, text);
    close(fd);
}

/* ---- the shard's part ------------------------------------------------------------------------ */

static inline void flush_everything(void)
{
    struct velo_flush_result result;
    CHECK_EQ(velo_flush(&bench.region, 0, 10000, &result), 0);
    CHECK_EQ(result.first_error, 0);
    CHECK_EQ(result.failed, 0);
}

/* Settle every file, so that charges and attributes are true and unlinked files are gone. */
static inline void refresh_everything(void)
{
    struct velo_node_info info[64];
    uint32_t cursor = 0;
    do {
        const uint32_t count = velo_scan(&bench.region, UINT32_MAX, &cursor, info, 64);
        for (uint32_t i = 0; i < count; i++)
            velo_refresh_attributes(&bench.region, info[i].node);
    } while (cursor != 0);
}

static inline struct velo_reconcile_result reconcile(void)
{
    struct velo_reconcile_result result;
    CHECK_EQ(velo_reconcile(&bench.region, NULL, NULL, &result), 0);
    return result;
}

/* Of the arena, whether a node has them or not. */
static inline unsigned backing_files(void)
{
    char path[128];
    unsigned count = 0;
    snprintf(path, sizeof path, "%s/i", bench.arena);
    DIR *directory = opendir(path);
    CHECK(directory != NULL);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

static inline uint64_t charged_bytes(void)
{
    static struct velo_statistics all;
    velo_statistics(&bench.region, &all);
    uint64_t sum = 0;
    for (unsigned i = 0; i < BENCH_SHARDS; i++)
        sum += all.slice_used_bytes[i];
    return sum;
}

/* ---- randomness that can be repeated --------------------------------------------------------- */

static inline uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

static inline unsigned random_below(uint64_t *state, unsigned limit)
{
    return (unsigned)(random_next(state) % limit);
}

/* VELO_TEST_SEED, or one of the moment; printed, so a failure can be run again. */
static inline uint64_t random_seed(void)
{
    const char *given = getenv("VELO_TEST_SEED");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    const uint64_t seed =
        given != NULL ? strtoull(given, NULL, 0) : (uint64_t)now.tv_nsec ^ (uint64_t)getpid() << 32;
    printf("  VELO_TEST_SEED=%llu\n", (unsigned long long)seed);
    fflush(stdout);
    return seed;
}

static inline double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Wait for a child; nonzero when it ended with status 0. */
static inline int child_ended_well(pid_t child)
{
    int status = 0;
    CHECK_EQ(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

#endif
