/* test_running.c - who sees the disk is counted, whoever is killed at whatever moment.
 *
 * A program that seems not to run is looked past, so the count may be too high after a kill, which is slow,
 * and never too low. Each point of beginning and ending is killed at, one after the other in one arena, and
 * then a program that lives must still count. */
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "check.h"

#include "core/arena/layout.h"
#include "core/disk/mounts.h"
#include "core/disk/reconcile.h"
#include "core/upkeep/opaque.h"

extern long velo_kill_countdown;

static pid_t someone; /* lives as long as the test wants */

static pid_t a_process(void)
{
    const pid_t child = fork();
    if (child == 0)
        for (;;)
            pause();
    return child;
}

static void end_of(pid_t child)
{
    int status;
    kill(child, SIGKILL);
    CHECK_EQ(waitpid(child, &status, 0), child);
}

static void a_program_comes_and_goes(void)
{
    velo_opaque_begin(&bench.region, someone, "program");
    velo_opaque_started(&bench.region, someone, 0, "program");
}

static void a_peer_comes_and_goes(void)
{
    int pair[2];
    struct stat stat;
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    CHECK_EQ(fstat(pair[0], &stat), 0);
    const int slot = velo_peer_begin(&bench.region, pair[0], stat.st_ino);
    velo_peer_known(&bench.region, slot, (uint32_t)someone, "peer", 0);
    velo_peer_none(&bench.region, slot);
    close(pair[0]);
    close(pair[1]);
}

static void a_second_name_comes_and_goes(void)
{
    velo_second_name_begins(bench.region.header);
    velo_mounts_over(&bench.region, bench.region.header->second_names);
}

/* Slots that others heed. */
static uint32_t published(void)
{
    const struct velo_header *header = bench.region.header;
    uint32_t count = header->second_names != 0;
    for (uint32_t i = 0; i < VELO_OPAQUE_MAX; i++)
        count +=
            header->opaque_slots[i].pid != 0 && header->opaque_slots[i].pid != VELO_OPAQUE_CLAIMED;
    for (uint32_t i = 0; i < VELO_PEERS_MAX; i++)
        count += (uint32_t)header->peers[i].owner != 0;
    return count;
}

static void check_count(void)
{
    const uint32_t running = bench.region.header->opaque_running;
    CHECK(running >= published());
    CHECK(running < 1000); /* it never went below 0 */
}

/* Nonzero when it got through alive. */
static int killed_at(long k, void (*act)(void))
{
    int status = 0;
    const pid_t child = fork();
    if (child == 0) {
        velo_kill_countdown = k;
        act();
        _exit(0);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status) ? WEXITSTATUS(status) == 0 : WTERMSIG(status) == SIGKILL);
    return WIFEXITED(status);
}

static void kill_at_each_point(const char *name, void (*act)(void))
{
    long k = 1;
    for (int survived = 0; !survived; k++) {
        snprintf(bench.note, sizeof bench.note, "(%s killed at point %ld)", name, k);
        someone = a_process();
        survived = killed_at(k, act);
        check_count();
        end_of(someone);
        velo_opaque_poll(&bench.region); /* whoever is dead is noticed */
        check_count();
    }
    printf("  %s: %ld points\n", name, k - 2);
    CHECK(k - 2 >= 2);
}

static void who_lives_counts(void)
{
    someone = a_process();
    velo_opaque_begin(&bench.region, someone, "program");
    check_count();
    CHECK(velo_opaque_runs(&bench.region));
    velo_opaque_poll(&bench.region);
    CHECK(velo_opaque_runs(&bench.region));
    end_of(someone);
}

int main(void)
{
    bench_open();
    kill_at_each_point("program", a_program_comes_and_goes);
    kill_at_each_point("peer", a_peer_comes_and_goes);
    kill_at_each_point("second name", a_second_name_comes_and_goes);
    who_lives_counts();
    bench_close();
    return 0;
}
