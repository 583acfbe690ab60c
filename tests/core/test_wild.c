/* test_wild.c - what a wild store did to a list, a count or a length: each call ends, and touches nothing
 * outside of the mapping.  What such a store makes of the tree is not asked.
 *
 * Each row damages one thing, and everything that walks is called in a process of its own, within
 * a limit.  Damage at random is support/fuzz_meta.py's. */
#include "check.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "core/arena/layout.h"
#include "core/disk/moved.h"
#include "core/disk/retire.h"
#include "core/disk/root.h"
#include "core/tree/path.h"
#include "core/tree/tree.h"

#define CALLS_LIMIT_MS 30000 /* all together take less than 1000 */

static struct velo_node *node_of(const char *name)
{
    return velo_node_at(&bench.region, node_at(name));
}

static struct velo_name *name_of(const char *name)
{
    return velo_name_at(&bench.region, node_of(name)->first_name);
}

static struct velo_header *header(void)
{
    return bench.region.header;
}

/* ---- damage ---------------------------------------------------------------------------------- */

static void a_circle_of_a_files_names(void)
{
    name_of("build/d/f")->next_of_node = node_of("build/d/f")->first_name;
}

static void a_circle_of_the_names_of_a_file_on_disk(void)
{
    name_of("build/d/old")->next_of_node = node_of("build/d/old")->first_name;
}

static void a_circle_of_entries(void)
{
    velo_name_id last = node_of("build/d")->first_entry;
    while (velo_is_name(velo_name_at(&bench.region, last)->next_entry))
        last = velo_name_at(&bench.region, last)->next_entry;
    velo_name_at(&bench.region, last)->next_entry = node_of("build/d")->first_entry;
}

static void an_entry_that_does_not_know_the_first(void)
{
    velo_name_at(&bench.region, node_of("build/d")->first_entry)->previous_entry =
        node_of("build/l")->first_name;
}

static void a_directory_without_a_name(void)
{
    node_of("build/d/e")->first_name = VELO_NO_NAME;
}

static void a_directory_that_is_in_itself(void)
{
    name_of("build/d/e")->node = node_at("build/d");
}

static void a_circle_of_chunks(void)
{
    struct velo_chunk *chunk = velo_chunk_at(&bench.region, node_of("build/l")->target);
    chunk->next = node_of("build/l")->target;
}

static void chunks_that_are_none(void)
{
    node_of("build/l")->target = velo_chunk_from(UINT32_MAX);
}

static void more_roots_than_there_can_be(void)
{
    header()->root_count = UINT32_MAX;
}

static void a_root_that_is_none(void)
{
    node_of("build")->root_slot = UINT32_MAX;
}

static void more_patterns_than_there_can_be(void)
{
    header()->pattern_count = UINT32_MAX;
}

static void a_workspace_longer_than_paths(void)
{
    header()->alias_length = header()->workspace_length;
    memcpy(header()->alias, header()->workspace, header()->workspace_length);
    header()->workspace_length = UINT16_MAX;
}

static void slots_larger_than_the_table(void)
{
    header()->nodes.slot_bytes = header()->names.slot_bytes = UINT32_MAX;
    header()->nodes.free_head = header()->names.free_head = 7;
}

static void more_slots_than_there_are(void)
{
    header()->nodes.used = header()->names.used = header()->chunks.used = UINT32_MAX;
    header()->nodes.committed = header()->names.committed = UINT32_MAX;
    header()->names.free_head = UINT32_MAX - 1;
}

static uint32_t stranger(void)
{
    const pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execlp("sleep", "sleep", "60", NULL);
        _exit(1);
    }
    return (uint32_t)child;
}

static void a_lock_that_a_stranger_is_said_to_have(void)
{
    atomic_store(&header()->lock.word, stranger());
}

static void a_flush_lock_that_a_stranger_is_said_to_have(void)
{
    atomic_store(&header()->flush_lock.word, stranger());
}

/* ---- calls ----------------------------------------------------------------------------------- */

static int pass_over(void *context, const char *name, size_t length, uint64_t inode,
                     unsigned char type)
{
    (void)context, (void)name, (void)length, (void)inode, (void)type;
    return 0;
}

static void call_all(velo_node_id directory, velo_node_id root)
{
    static struct velo_statistics all;
    struct velo_region *region = &bench.region;
    struct velo_flush_result flushed;
    struct velo_reconcile_result result;
    struct velo_node_info info[8];
    char why[200];
    uint32_t cursor = 0;
    velo_list(region, directory, pass_over, NULL);
    velo_check(region, why, sizeof why);
    velo_statistics(region, &all);
    for (int i = 0; i < 100 && (i == 0 || cursor != 0); i++)
        velo_scan(region, UINT32_MAX, &cursor, info, 8);
    velo_longest_below(region, directory);
    velo_ends_pattern(region, "e", 1);
    velo_may_host(region, "/nowhere");
    hosted_link("build/d/f", "build/d/h");
    hosted_rename("build/d/f", "build/f");
    hosted_rename("build/d", "plain/d");
    hosted_rename("build/d", "build/dd");
    velo_flush(region, 0, 10000, &flushed);
    velo_reconcile(region, NULL, NULL, &result);
    velo_flush_tethered(region, directory);
    hosted_unlink("build/l");
    hosted_mkdir("build/new");
    hosted_unlink("build/d/g");
    velo_retire_found(region, directory);
    velo_forget(region, root, "d", 1);
    velo_lost_roots(region, 1);
    velo_root_forget(region, root);
}

static void every_call_ends_after(void (*damage)(void))
{
    int status = 0;
    bench_open();
    CHECK_EQ(hosted_mkdir("build/d"), 0);
    CHECK_EQ(hosted_mkdir("build/d/e"), 0);
    hosted_write("build/d/old", "old");
    CHECK_EQ(hosted_link("build/d/old", "build/d/older"), 0);
    flush_everything();
    refresh_everything();
    CHECK_EQ(velo_evict(&bench.region, node_at("build/d/old")), 0);
    hosted_write("build/d/e/f", "f");
    hosted_write("build/d/f", "f");
    CHECK_EQ(hosted_link("build/d/f", "build/d/g"), 0);
    CHECK_EQ(symlink("a target that is longer than one chunk, which has fifty-six bytes",
                     in_workspace("build/l")),
             0);
    reconcile();

    const velo_node_id directory = node_at("build/d"), root = node_at("build");
    const pid_t child = fork();
    if (child == 0) {
        damage();
        call_all(directory, root);
        _exit(0);
    }

    struct pollfd end = {(int)syscall(SYS_pidfd_open, child, 0), POLLIN, 0};
    if (poll(&end, 1, CALLS_LIMIT_MS) != 1)
        kill(child, SIGKILL); /* under the lock no other signal is heard */
    close(end.fd);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    bench_remove();
    velo_region_detach(&bench.region);
}

#define AFTER(damage) (printf("  " #damage "\n"), fflush(stdout), every_call_ends_after(damage))

int main(void)
{
    AFTER(a_circle_of_a_files_names);
    AFTER(a_circle_of_the_names_of_a_file_on_disk);
    AFTER(a_circle_of_entries);
    AFTER(an_entry_that_does_not_know_the_first);
    AFTER(a_directory_without_a_name);
    AFTER(a_directory_that_is_in_itself);
    AFTER(a_circle_of_chunks);
    AFTER(chunks_that_are_none);
    AFTER(more_roots_than_there_can_be);
    AFTER(a_root_that_is_none);
    AFTER(more_patterns_than_there_can_be);
    AFTER(a_workspace_longer_than_paths);
    AFTER(slots_larger_than_the_table);
    AFTER(more_slots_than_there_are);
    AFTER(a_lock_that_a_stranger_is_said_to_have);
    AFTER(a_flush_lock_that_a_stranger_is_said_to_have);
    return 0;
}
