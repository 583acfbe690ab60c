/* test_kill.c - processes that change the tree are killed at random instants, thousands of times;
 * after each kill the tree is whole, and in the end disk and namespace agree.
 *
 *   test_kill [kills [seconds]]    as many kills as asked, but no more time than that
 *
 * All children work on the same few names and do, besides, what shards do, so a kill falls into
 * every kind of change, also while another child waits for the lock that the dead one held. */
#include "disk.h"
#include "store.h"

#include <signal.h>
#include <sys/prctl.h>

#define CHILDREN 3

static uint64_t random_state;

static unsigned pick(unsigned limit)
{
    return random_below(&random_state, limit);
}

static void random_name(char *out, size_t size)
{
    static const char *const directories[] = {"", "d/", "e/", "d/deep/"};
    static const char *const ends[] = {"", "-and-the-rest-of-a-name-that-goes-on-beyond-one-slot"};
    snprintf(out, size, "build/%sn%u%s", directories[pick(4)], pick(5), ends[pick(2)]);
}

static void try_write(const char *name, int flags)
{
    const int fd = hosted_open(name, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644);
    if (fd < 0)
        return;
    const ssize_t done = write(fd, "some bytes of content", pick(21));
    (void)done;
    close(fd);
}

static void change_something(void)
{
    char a[160], b[160];
    struct velo_place place;
    random_name(a, sizeof a);
    random_name(b, sizeof b);
    const int known = walk_to(a, VELO_WALK_NOFOLLOW, &place) == 0;
    switch (pick(12)) {
    case 0:
    case 1:
        try_write(a, O_TRUNC);
        break;
    case 2:
        try_write(a, O_EXCL);
        break;
    case 3:
    case 4:
        hosted_rename(a, b);
        break;
    case 5:
        hosted_link(a, b);
        break;
    case 6:
    case 7:
        hosted_unlink(a);
        break;
    case 8:
        if (known)
            velo_symlink(&bench.region, b, &place);
        break;
    case 9:
        if (known)
            velo_chmod(&bench.region, &place, pick(2) ? 0600 : 0755);
        break;
    case 10:
        hosted_mkdir(pick(2) ? "build/d" : "build/d/deep");
        hosted_mkdir("build/e");
        hosted_rename("build/e", pick(2) ? "build/d/deep" : "build/d");
        break;
    default:
        if (known)
            velo_rmdir(&bench.region, &place);
        hosted_rename("build/d", "build/e");
    }
}

static void do_a_shards_work(void)
{
    struct velo_node_info info[64];
    struct velo_flush_result result;
    uint32_t cursor = 0;
    const uint32_t count = velo_scan(&bench.region, UINT32_MAX, &cursor, info, 64);
    for (uint32_t i = 0; i < count; i++) {
        velo_refresh_attributes(&bench.region, info[i].node);
        if (pick(3) == 0 && info[i].links > 0)
            velo_writeback(&bench.region, info[i].node, 0);
        if (info[i].state == VELO_BACKED)
            velo_evict(&bench.region, info[i].node);
    }
    if (pick(10) == 0)
        velo_flush(&bench.region, 0, 0, &result);
    if (pick(10) == 0)
        velo_sweep(&bench.region);
}

static pid_t start(uint64_t seed)
{
    const pid_t child = fork();
    if (child != 0)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    random_state = seed;
    for (;;)
        if (pick(30) != 0)
            change_something();
        else
            do_a_shards_work();
}

/* Live for a moment of 0 to 4 ms, mostly short. */
static void wait_a_moment(void)
{
    const unsigned us = pick(8) == 0 ? pick(4000) : pick(400);
    const struct timespec moment = {0, us * 1000l};
    nanosleep(&moment, NULL);
}

static void kill_child(pid_t child)
{
    int status;
    CHECK_EQ(kill(child, SIGKILL), 0);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void the_tree_survives_every_kill(int kills, double seconds)
{
    pid_t children[CHILDREN];
    const double end = seconds_now() + seconds;
    int done = 0;
    bench_open();
    for (int i = 0; i < CHILDREN; i++)
        children[i] = start(random_next(&random_state));
    for (; done < kills && seconds_now() < end; done++) {
        const unsigned victim = pick(CHILDREN);
        wait_a_moment();
        kill_child(children[victim]);
        bench_check();
        children[victim] = start(random_next(&random_state));
    }
    for (int i = 0; i < CHILDREN; i++)
        kill_child(children[i]);
    static struct velo_statistics all;
    velo_statistics(&bench.region, &all);
    printf("    %d kills, %llu of them repaired\n", done, (unsigned long long)all.recoveries);
}

static void disk_and_namespace_agree(void)
{
    bench_check();
    reconcile();
    flush_everything();
    refresh_everything();
    bench_check();
    const struct velo_reconcile_result again = reconcile();
    CHECK_EQ(again.changed + again.ingested + again.vanished + again.conflicts, 0);
    bench_check();
    disk_agrees();
    velo_sweep(&bench.region);
    disk_agrees();
    bench_close();
}

int main(int argc, char **argv)
{
    const int kills = argc > 1 ? atoi(argv[1]) : 3000;
    const double seconds = argc > 2 ? atof(argv[2]) : 12;
    random_state = random_seed();
    /* In several arenas, each with its own end: a mistake of the tree is found near its cause. */
    for (int part = 0; part < 5; part++) {
        the_tree_survives_every_kill(kills / 5, seconds / 5);
        disk_and_namespace_agree();
    }
    return 0;
}
