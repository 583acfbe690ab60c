/* test_threads.c - many threads of one process: readers that take no lock beside writers that do.
 *
 *   test_threads [rounds]
 *
 * Meant for ThreadSanitizer, which sees no further than one process: what the readers read while it
 * changes must be atomic loads, and everything else must be behind the lock. */
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>

#define WRITERS 2
#define READERS 3
#define NAMES 8

static int rounds = 3000;
static _Atomic int writing = WRITERS;
static uint64_t seed;

static void random_name(uint64_t *state, char *out, size_t size)
{
    static const char *const directories[] = {"", "d/", "link/"};
    static const char *const ends[] = {"", "-and-the-rest-of-a-name-that-goes-on-beyond-one-slot"};
    snprintf(out, size, "build/%sn%u%s", directories[random_below(state, 3)],
             random_below(state, NAMES), ends[random_below(state, 2)]);
}

static void write_something(uint64_t *state)
{
    char a[160], b[160];
    struct velo_place place;
    random_name(state, a, sizeof a);
    random_name(state, b, sizeof b);
    const int known = walk_to(a, VELO_WALK_NOFOLLOW, &place) == 0;
    int fd = -1;
    switch (random_below(state, 8)) {
    case 0:
    case 1:
        fd = hosted_open(a, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        break;
    case 2:
        hosted_rename(a, b);
        break;
    case 3:
        hosted_unlink(a);
        break;
    case 4:
        hosted_link(a, b);
        break;
    case 5:
        if (known)
            velo_symlink(&bench.region, "../build/d/../d/n1", &place);
        break;
    case 6:
        hosted_mkdir(a);
        if (known)
            velo_rmdir(&bench.region, &place);
        break;
    default:
        if (known && velo_is_node(place.at.node))
            velo_chmod(&bench.region, &place, 0644);
    }
    if (fd >= 0)
        close(fd);
}

static void *writer(void *argument)
{
    uint64_t state = seed + (uint64_t)(uintptr_t)argument;
    for (int i = 0; i < rounds; i++)
        write_something(&state);
    atomic_fetch_sub(&writing, 1);
    return NULL;
}

static int see_name(void *context, const char *name, size_t length, uint64_t inode,
                    unsigned char type)
{
    (void)context, (void)inode;
    CHECK(length == strlen(name) && length > 0 && type != 0);
    return 0;
}

static void *reader(void *argument)
{
    uint64_t state = seed * 3 + (uint64_t)(uintptr_t)argument;
    while (writing != 0) {
        char name[160], path[PATH_MAX];
        struct velo_place place;
        struct stat st;
        random_name(&state, name, sizeof name);
        if (walk_to(name, random_below(&state, 2), &place) != 0)
            continue;
        if (velo_stat(&bench.region, &place, &st) == 0)
            CHECK((st.st_mode & S_IFMT) != 0);
        const int fd = place.at.type == VELO_REGULAR
                           ? velo_open(&bench.region, &place, O_RDONLY | O_CLOEXEC, 0)
                           : -1;
        if (fd >= 0) {
            CHECK_EQ(fstat(fd, &st), 0);
            velo_fstat_fix(&bench.region, &st);
            close(fd);
        }
        velo_path_of(&bench.region, place.at.node, path);
        velo_access(&bench.region, &place, R_OK, 0);
        CHECK_EQ(velo_list(&bench.region, node_at("build"), see_name, NULL), 0);
    }
    return NULL;
}

/* What shards do, also without the lock where they can. */
static void *tidier(void *argument)
{
    (void)argument;
    while (writing != 0) {
        struct velo_node_info info[16];
        struct velo_flush_result result;
        static struct velo_statistics all;
        uint32_t cursor = 0;
        const uint32_t count = velo_scan(&bench.region, UINT32_MAX, &cursor, info, 16);
        for (uint32_t i = 0; i < count; i++) {
            velo_refresh_attributes(&bench.region, info[i].node);
            velo_writeback(&bench.region, info[i].node, 0);
            velo_evict(&bench.region, info[i].node);
        }
        velo_flush(&bench.region, VELO_FLUSH_PROGRAMS, 0, &result);
        velo_statistics(&bench.region, &all);
        reconcile();
    }
    return NULL;
}

static void readers_and_writers_do_not_disturb_each_other(void)
{
    pthread_t threads[WRITERS + READERS + 1];
    int count = 0;
    bench_open();
    CHECK_EQ(hosted_mkdir("build/d"), 0);
    struct velo_place place;
    CHECK_EQ(walk_to("build/link", VELO_WALK_NOFOLLOW, &place), 0);
    CHECK_EQ(velo_symlink(&bench.region, "d", &place), 0);
    for (uintptr_t i = 0; i < WRITERS; i++)
        CHECK_EQ(pthread_create(&threads[count++], NULL, writer, (void *)i), 0);
    for (uintptr_t i = 0; i < READERS; i++)
        CHECK_EQ(pthread_create(&threads[count++], NULL, reader, (void *)i), 0);
    CHECK_EQ(pthread_create(&threads[count++], NULL, tidier, NULL), 0);
    for (int i = 0; i < count; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    bench_check();
    refresh_everything();
    flush_everything();
    CHECK_EQ(reconcile().changed, 0);
    bench_close();
}

int main(int argc, char **argv)
{
    if (argc > 1)
        rounds = atoi(argv[1]);
    seed = random_seed();
    RUN(readers_and_writers_do_not_disturb_each_other);
    return 0;
}
