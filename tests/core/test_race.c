/* test_race.c - many processes in one directory at once: nothing that was done is lost, nobody sees
 * half a change, and the tree is whole in the end.
 *
 *   test_race [rounds]
 *
 * Workers fight over a few shared names and keep names of their own; one more process does all the
 * while what shards do (settle, put, evict, sweep). */
#include "disk.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#define WORKERS 4
#define SHARED 6

static int rounds = 400;
static uint64_t random_state;
static _Atomic int *stop; /* shared: the workers have ended */

static unsigned pick(unsigned limit)
{
    return random_below(&random_state, limit);
}

static int expected(int rc, int a, int b, int c)
{
    snprintf(bench.note, sizeof bench.note, "(answer %d)", rc);
    return rc >= 0 || rc == -ENOENT || rc == a || rc == b || rc == c;
}

static int quick_write(const char *name, int flags, const char *text)
{
    const int fd = hosted_open(name, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644);
    if (fd < 0)
        return fd;
    write_all(fd, text);
    close(fd);
    return 0;
}

/* ---- fights ---------------------------------------------------------------------------------- */

static int count_name(void *context, const char *name, size_t length, uint64_t inode,
                      unsigned char type)
{
    unsigned *seen = context;
    (void)inode, (void)type;
    if (length == 4 && memcmp(name, "ball", 4) == 0)
        seen[0]++;
    if (length == 5 && memcmp(name, "ball2", 5) == 0)
        seen[0]++;
    return 0;
}

/* `ball` and `ball2` are the two places of one file: a listing finds it once. */
static void probe_around(void)
{
    unsigned seen = 0;
    struct stat st;
    CHECK_EQ(velo_list(&bench.region, node_at("build"), count_name, &seen), 0);
    CHECK_EQ(seen, 1);
    CHECK_EQ(hosted_stat("build/whole", &st), 0);
}

/* `whole` is replaced by rename all the time: it is always there, and always all of one writer's. */
static void replace_whole(int worker)
{
    char temporary[64], text[9];
    memset(text, 'a' + worker, 8);
    text[8] = 0;
    snprintf(temporary, sizeof temporary, "build/whole.%d", worker);
    CHECK_EQ(quick_write(temporary, O_TRUNC, text), 0);
    CHECK_EQ(hosted_rename(temporary, "build/whole"), 0);
    const int fd = hosted_open("build/whole", O_RDONLY | O_CLOEXEC, 0);
    CHECK(fd >= 0);
    CHECK_EQ(read(fd, text, 9), 8);
    for (int i = 1; i < 8; i++)
        CHECK_EQ(text[i], text[0]);
    close(fd);
}

static void throw_ball(void)
{
    CHECK(expected(hosted_rename("build/ball", "build/ball2"), 0, 0, 0));
    CHECK(expected(hosted_rename("build/ball2", "build/ball"), 0, 0, 0));
}

static void fight_over_a_name(void)
{
    char a[64], b[64];
    struct stat st;
    snprintf(a, sizeof a, "build/d%u/s%u", pick(2), pick(SHARED));
    snprintf(b, sizeof b, "build/d%u/s%u", pick(2), pick(SHARED));
    switch (pick(7)) {
    case 0:
        CHECK(expected(quick_write(a, O_EXCL, "x"), -EEXIST, -EISDIR, 0));
        break;
    case 1:
        CHECK(expected(quick_write(a, 0, "longer text"), -EISDIR, 0, 0));
        break;
    case 2:
        CHECK(expected(hosted_unlink(a), -EISDIR, 0, 0));
        break;
    case 3:
        CHECK(expected(hosted_rename(a, b), -EISDIR, -ENOTDIR, -ENOTEMPTY));
        break;
    case 4:
        CHECK(expected(hosted_link(a, b), -EEXIST, -EPERM, 0));
        break;
    case 5:
        CHECK(expected(hosted_mkdir(a), -EEXIST, 0, 0));
        break;
    default:
        CHECK(expected(hosted_stat(a, &st), 0, 0, 0));
        struct velo_place place;
        if (walk_to(a, VELO_WALK_NOFOLLOW, &place) == 0)
            CHECK(expected(velo_rmdir(&bench.region, &place), -ENOTDIR, -ENOTEMPTY, 0));
    }
}

/* ---- names of one's own ---------------------------------------------------------------------- */

static void own_name(int worker, int round, char *out, size_t size)
{
    snprintf(out, size, "build/own.%d.%d", worker, round);
}

static void keep_a_name(int worker, int round)
{
    char name[64], second[64];
    own_name(worker, round, name, sizeof name);
    CHECK_EQ(quick_write(name, O_EXCL, name), 0);
    if (round % 3 != 0)
        return;
    snprintf(second, sizeof second, "build/d0/moved.%d.%d", worker, round);
    CHECK_EQ(hosted_rename(name, second), 0);
    if (round % 2 == 0)
        CHECK_EQ(hosted_link(second, name), 0);
    else
        CHECK_EQ(hosted_rename(second, name), 0);
}

static void check_own_names(void)
{
    char name[64];
    for (int worker = 0; worker < WORKERS; worker++)
        for (int round = 0; round < rounds; round++) {
            own_name(worker, round, name, sizeof name);
            CHECK(hosted_says(name, name));
            CHECK_EQ(stat_at(name).st_nlink, round % 6 == 0 ? 2 : 1);
        }
}

/* A directory that was emptied is removed, whatever is being put there at that moment. */
static void fill_and_remove_a_directory(int worker)
{
    char directory[64], name[80];
    struct velo_place place;
    snprintf(directory, sizeof directory, "build/mine.%d", worker);
    CHECK_EQ(hosted_mkdir(directory), 0);
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "%s/f%d", directory, i);
        CHECK_EQ(quick_write(name, O_EXCL, "short-lived"), 0);
    }
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "%s/f%d", directory, i);
        CHECK_EQ(hosted_unlink(name), 0);
    }
    CHECK_EQ(walk_to(directory, VELO_WALK_NOFOLLOW, &place), 0);
    CHECK_EQ(velo_rmdir(&bench.region, &place), 0);
}

/* ---- processes ------------------------------------------------------------------------------- */

static void work(int worker)
{
    random_state += (uint64_t)worker;
    for (int round = 0; round < rounds; round++) {
        keep_a_name(worker, round);
        replace_whole(worker);
        throw_ball();
        probe_around();
        fill_and_remove_a_directory(worker);
        fight_over_a_name();
        fight_over_a_name();
        fight_over_a_name();
    }
}

static void tidy_like_a_shard(void)
{
    struct velo_node_info info[64];
    uint32_t cursor = 0;
    struct velo_flush_result result;
    while (!*stop) {
        const uint32_t count = velo_scan(&bench.region, UINT32_MAX, &cursor, info, 64);
        for (uint32_t i = 0; i < count; i++) {
            velo_refresh_attributes(&bench.region, info[i].node);
            if (pick(4) == 0 && info[i].links > 0)
                velo_writeback(&bench.region, info[i].node, 0);
            if (info[i].state == VELO_BACKED)
                velo_evict(&bench.region, info[i].node);
        }
        if (pick(200) == 0)
            velo_flush(&bench.region, 0, 0, &result);
        if (pick(50) == 0)
            velo_sweep(&bench.region);
        if (pick(20) == 0)
            bench_check();
    }
}

static pid_t start(int worker)
{
    const pid_t child = fork();
    if (child != 0)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (worker < WORKERS)
        work(worker);
    else
        tidy_like_a_shard();
    _exit(0);
}

static void nothing_is_lost_and_nothing_is_torn(void)
{
    pid_t children[WORKERS + 1];
    bench_open();
    CHECK_EQ(hosted_mkdir("build/d0"), 0);
    CHECK_EQ(hosted_mkdir("build/d1"), 0);
    hosted_write("build/whole", "zzzzzzzz");
    hosted_write("build/ball", "ball");
    for (int i = 0; i <= WORKERS; i++)
        children[i] = start(i);
    int well = 0;
    for (int i = 0; i < WORKERS; i++)
        well += child_ended_well(children[i]);
    *stop = 1;
    well += child_ended_well(children[WORKERS]);
    CHECK_EQ(well, WORKERS + 1);

    bench_check();
    check_own_names();
    refresh_everything();
    flush_everything();
    bench_check();
    disk_agrees();
    const struct velo_reconcile_result result = reconcile();
    CHECK_EQ(result.changed + result.conflicts + result.ingested + result.vanished, 0);
    check_own_names();
    bench_close();
}

int main(int argc, char **argv)
{
    if (argc > 1)
        rounds = atoi(argv[1]);
    stop = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    random_state = random_seed();
    RUN(nothing_is_lost_and_nothing_is_torn);
    return 0;
}
