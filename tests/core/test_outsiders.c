/* test_outsiders.c - what programs that know nothing of velo do to the tree on disk: the next comparison
 * takes it in, and takes nothing of ours for theirs. */
#include <signal.h>
#include <sys/inotify.h>
#include <sys/time.h>

#include "check.h"

static void first_sight_takes_names_and_leaves_bytes(void)
{
    bench_open();
    CHECK_EQ(mkdir(in_workspace("build/d"), 0700), 0);
    outsider_writes("build/d/f", "from before");
    CHECK_EQ(link(in_workspace("build/d/f"), in_workspace("build/d/g")), 0);
    CHECK_EQ(symlink("d/f", in_workspace("build/l")), 0);
    CHECK(hosted_says("build/l", "from before"));
    CHECK_EQ(info_at("build/d/f").state, VELO_DISK);
    CHECK_EQ(info_at("build/d/f").dirty_disk, 0);
    CHECK_EQ(node_at("build/d/f").slot, node_at("build/d/g").slot);
    CHECK_EQ(stat_at("build/d/g").st_nlink, 2);
    CHECK_EQ(stat_at("build/d").st_mode, S_IFDIR | 0700);
    bench_close();
}

static void what_others_change_is_seen_by_reconcile(void)
{
    bench_open();
    hosted_write("build/kept", "kept");
    hosted_write("build/changed", "old");
    hosted_write("build/removed", "gone");
    CHECK_EQ(hosted_mkdir("build/d"), 0);
    hosted_write("build/d/in", "in");
    hosted_write("build/turned", "file");
    flush_everything();
    CHECK_EQ(reconcile().changed, 0);

    outsider_writes("build/changed", "new!");
    outsider_writes("build/added", "added");
    CHECK_EQ(unlink(in_workspace("build/removed")), 0);
    CHECK_EQ(unlink(in_workspace("build/turned")), 0);
    CHECK_EQ(mkdir(in_workspace("build/turned"), 0755), 0);
    CHECK_EQ(unlink(in_workspace("build/d/in")), 0);
    CHECK_EQ(rmdir(in_workspace("build/d")), 0);
    outsider_writes("build/d", "a file now");
    const struct velo_reconcile_result result = reconcile();

    CHECK_EQ(result.conflicts, 0);
    struct stat st;
    CHECK(hosted_says("build/kept", "kept"));
    CHECK(hosted_says("build/changed", "new!"));
    CHECK(hosted_says("build/added", "added"));
    CHECK(hosted_says("build/d", "a file now"));
    CHECK_EQ(hosted_stat("build/removed", &st), -ENOENT);
    CHECK(S_ISDIR(stat_at("build/turned").st_mode));
    bench_check();
    CHECK_EQ(reconcile().changed, 0);
    bench_close();
}

static char conflict_path[PATH_MAX];
static void remember_conflict(void *context, const char *path)
{
    (void)context;
    snprintf(conflict_path, sizeof conflict_path, "%s", path);
}

static void what_both_changed_stays_ours_and_is_reported(void)
{
    struct velo_reconcile_result result;
    bench_open();
    hosted_write("build/f", "base");
    hosted_write("build/h", "base");
    flush_everything();
    hosted_write("build/f", "ours");
    hosted_write("build/h", "ours");
    outsider_writes("build/f", "theirs, longer");
    CHECK_EQ(unlink(in_workspace("build/h")), 0);

    CHECK_EQ(velo_reconcile(&bench.region, remember_conflict, NULL, &result), 0);

    CHECK_EQ(result.conflicts, 1);
    CHECK_EQ(strcmp(conflict_path, in_workspace("build/f")), 0);
    CHECK(hosted_says("build/f", "ours"));
    CHECK(hosted_says("build/h", "ours"));
    flush_everything();
    CHECK(disk_says("build/f", "ours"));
    CHECK(disk_says("build/h", "ours"));
    bench_close();
}

static void our_own_changes_are_no_outsiders(void)
{
    bench_open();
    hosted_write("build/a", "shared");
    CHECK_EQ(hosted_link("build/a", "build/b"), 0);
    CHECK_EQ(hosted_link("build/a", "build/c"), 0);
    CHECK_EQ(hosted_mkdir("build/d"), 0);
    flush_everything();
    const velo_node_id node = node_at("build/a");
    /* Each of these gives the inode on disk, which the other names share, a new ctime. */
    CHECK_EQ(hosted_unlink("build/c"), 0);
    CHECK_EQ(reconcile().changed, 0);
    CHECK_EQ(hosted_rename("build/b", "build/d/b"), 0);
    CHECK_EQ(reconcile().changed, 0);
    hosted_write("build/over", "over");
    flush_everything();
    CHECK_EQ(hosted_rename("build/over", "build/d/b"), 0);
    CHECK_EQ(reconcile().changed, 0);
    CHECK_EQ(hosted_link("build/a", "build/e"), 0);
    flush_everything();
    CHECK_EQ(reconcile().changed, 0);
    CHECK_EQ(node_at("build/a").slot, node.slot);
    CHECK_EQ(velo_evict(&bench.region, node), 0);
    CHECK_EQ(hosted_link("build/a", "build/f"), 0);
    CHECK_EQ(hosted_unlink("build/e"), 0);
    CHECK_EQ(reconcile().changed, 0);
    hosted_write("build/f", "newer");
    CHECK_EQ(hosted_unlink("build/a"), 0);
    const struct velo_reconcile_result last = reconcile();
    CHECK_EQ(last.changed + last.conflicts + last.vanished, 0);
    bench_close();
}

static void a_hosted_directory_that_was_removed_is_gone_with_everything(void)
{
    struct stat st;
    bench_open();
    CHECK_EQ(hosted_mkdir("build/d"), 0);
    hosted_write("build/d/f", "never put");
    CHECK_EQ(rmdir(in_workspace("build/d")), 0);
    CHECK_EQ(rmdir(in_workspace("build")), 0);
    reconcile();
    bench_check();
    struct velo_place place;
    CHECK_EQ(walk_to("build", 0, &place), 0);
    CHECK_EQ(place.at.kind, VELO_OUTSIDE);
    CHECK_EQ(mkdir(in_workspace("build"), 0755), 0);
    CHECK_EQ(hosted_stat("build/d/f", &st), -ENOENT);
    hosted_write("build/f", "again");
    refresh_everything();
    bench_close();
}

static void a_number_the_disk_gives_to_another_file_is_not_ours(void)
{
    struct stat st;
    bench_open();
    hosted_write("build/a", "a");
    flush_everything();
    CHECK_EQ(hosted_link("build/a", "build/b"), 0);
    CHECK_EQ(lstat(in_workspace("build/a"), &st), 0);
    CHECK_EQ(hosted_unlink("build/a"), 0); /* the only copy on disk; b lives on in memory */
    struct stat other = st;
    CHECK(!velo_is_node(velo_node_of(&bench.region, &other)));
    CHECK_EQ(velo_fstat_fix(&bench.region, &other), 0);
    CHECK(hosted_says("build/b", "a"));
    bench_close();
}

static void a_link_that_others_make_is_a_name_of_our_file(void)
{
    static const char *const names[] = {"build/g", "build/h", "build/i"};
    bench_open();
    hosted_write("build/f", "eff");
    flush_everything();
    CHECK_EQ(link(in_workspace("build/f"), in_workspace(names[0])), 0);
    reconcile(); /* in memory, and the same on disk */
    refresh_everything();
    velo_evict(&bench.region, node_at("build/f"));
    CHECK_EQ(info_at("build/f").state, VELO_DISK);
    CHECK_EQ(link(in_workspace("build/f"), in_workspace(names[1])), 0);
    reconcile(); /* on disk */
    const int fd = open(in_workspace("build/f"), O_WRONLY | O_APPEND | O_CLOEXEC);
    write_all(fd, "ective");
    close(fd);
    CHECK_EQ(link(in_workspace("build/f"), in_workspace(names[2])), 0);
    reconcile(); /* on disk, and not what we knew of it */
    for (unsigned i = 0; i < 3; i++)
        CHECK_EQ(node_at(names[i]).slot, node_at("build/f").slot);
    CHECK_EQ(stat_at("build/f").st_nlink, 4);

    hosted_write("build/g", "new");
    flush_everything();
    for (unsigned i = 0; i < 3; i++)
        CHECK(hosted_says(names[i], "new") && disk_says(names[i], "new"));
    bench_check();
    bench_close();
}

static void a_link_of_an_older_version_is_another_file(void)
{
    bench_open();
    hosted_write("build/f", "old");
    flush_everything();
    hosted_write("build/f", "newer");
    CHECK_EQ(link(in_workspace("build/f"), in_workspace("build/g")), 0);
    reconcile();
    flush_everything();
    CHECK(hosted_says("build/f", "newer") && disk_says("build/f", "newer"));
    CHECK(hosted_says("build/g", "old") && disk_says("build/g", "old"));
    bench_check();
    bench_close();
}

static void files_are_written_back_into_the_directory_that_others_made_anew(void)
{
    bench_open();
    CHECK_EQ(hosted_mkdir("build/d"), 0);
    flush_everything();
    hosted_write("build/d/f", "ours");
    CHECK_EQ(mkdir(in_workspace("build/anew"), 0755), 0);
    CHECK_EQ(rmdir(in_workspace("build/d")), 0);
    CHECK_EQ(rename(in_workspace("build/anew"), in_workspace("build/d")), 0);
    flush_everything();
    CHECK(disk_says("build/d/f", "ours"));
    bench_close();
}

/* A program that is another user just for now, or is not let through to the workspace any more, compares,
 * too: what it cannot see is not gone. */
static void who_cannot_look_takes_nothing_for_gone(void)
{
    bench_open();
    CHECK_EQ(hosted_mkdir("build/d"), 0);
    hosted_write("build/d/older", "older");
    flush_everything();
    hosted_write("build/d/f", "in memory only");
    struct velo_place place;
    CHECK_EQ(walk_to("build/d/f", 0, &place), 0);
    CHECK_EQ(chmod(bench.workspace, 0), 0);
    const uid_t before = geteuid();
    if (before == 0)
        CHECK_EQ(seteuid(65534), 0);

    const uint64_t vanished = reconcile().vanished;
    velo_revalidate(&bench.region, &place);

    if (before == 0)
        CHECK_EQ(seteuid(before), 0);
    CHECK_EQ(chmod(bench.workspace, 0700), 0);
    CHECK_EQ(vanished, 0);
    CHECK(hosted_says("build/d/f", "in memory only") && hosted_says("build/d/older", "older"));
    bench_check();
    bench_close();
}

/* What a shard does: tethers are taken while something waits, and left when it is put. */
static void what_waits_goes_where_its_directory_went(void)
{
    struct stat st;
    bench_open();
    CHECK_EQ(hosted_mkdir("build/d"), 0);
    CHECK_EQ(hosted_mkdir("build/d/below"), 0);
    CHECK_EQ(hosted_mkdir("build/e"), 0);
    hosted_write("build/d/f", "waits");
    hosted_write("build/d/below/g", "waits, too");
    hosted_write("build/e/h", "to be removed");
    CHECK_EQ(velo_tether(&bench.region, 1), 0);

    CHECK_EQ(rename(in_workspace("build/d"), in_workspace("plain/d")), 0);
    CHECK_EQ(rmdir(in_workspace("build/e")), 0);
    CHECK_EQ(mkdir(in_workspace("build/e"), 0755), 0);
    flush_everything();

    CHECK(disk_says("plain/d/f", "waits") && disk_says("plain/d/below/g", "waits, too"));
    CHECK_EQ(lstat(in_workspace("build/e/h"), &st), -1);
    CHECK_EQ(lstat(in_workspace("build/d"), &st), -1);
    reconcile();
    CHECK_EQ(hosted_stat("build/d", &st), -ENOENT);
    CHECK_EQ(hosted_stat("build/e/h", &st), -ENOENT);
    bench_check();
    CHECK_EQ(velo_tether(&bench.region, 0), 0);
    bench_close();
}

/* As a client that begins does: the comparison comes before the flush, in another process. */
static void a_comparison_puts_what_waits_in_a_moved_directory(void)
{
    struct stat st;
    bench_open();
    CHECK_EQ(hosted_mkdir("build/d"), 0);
    hosted_write("build/d/f", "waits");
    CHECK_EQ(velo_tether(&bench.region, 1), 0);
    CHECK_EQ(rename(in_workspace("build/d"), in_workspace("build/e")), 0);

    const pid_t child = fork();
    if (child == 0) {
        reconcile();
        _exit(0);
    }
    CHECK_EQ(waitpid(child, NULL, 0), child);

    CHECK_EQ(hosted_stat("build/d", &st), -ENOENT);
    CHECK(hosted_says("build/e/f", "waits"));
    bench_check();
    bench_close();
}

static int asked(struct velo_region *region, uint32_t verb, uint32_t shard, uint64_t argument)
{
    CHECK(verb == VELO_ASK_UNTETHER && shard == 0 && argument == 0);
    return velo_tether(region, 0);
}

/* The kernel tells of a directory's end when the last descriptor of it is closed. */
static void the_end_of_a_watched_directory_is_told_at_once(void)
{
    char event[4096];
    struct velo_place place;
    bench_open();
    bench.region.ask = asked;
    CHECK_EQ(hosted_mkdir("build/d"), 0);
    const int writer = hosted_open("build/d/f", O_WRONLY | O_CREAT, 0644);
    CHECK_EQ(write(writer, "stays in memory", 15), 15);
    CHECK_EQ(velo_tether(&bench.region, 1), 0);
    const int watcher = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    velo_watch(&bench.region, node_at("build/d"));
    CHECK(inotify_add_watch(watcher, in_workspace("build/d"), IN_DELETE_SELF) > 0);

    CHECK_EQ(hosted_unlink("build/d/f"), 0);
    CHECK_EQ(walk_to("build/d", VELO_WALK_NOFOLLOW, &place), 0);
    CHECK_EQ(velo_rmdir(&bench.region, &place), 0);

    CHECK(read(watcher, event, sizeof event) > 0);
    close(watcher);
    close(writer);
    bench_check();
    bench_close();
}

static int looked_at;

static void look_away(int signal)
{
    (void)signal;
    close(looked_at);
}

/* A shard has a descriptor for a moment, which natively nobody has. */
static void a_link_to_outside_waits_for_who_looks_at_the_file(void)
{
    const struct itimerval soon = {.it_value = {.tv_usec = 10000}};
    bench_open();
    hosted_write("build/f", "linked");
    looked_at = hosted_open("build/f", O_RDONLY, 0);
    CHECK(looked_at >= 0);
    CHECK(signal(SIGALRM, look_away) != SIG_ERR);
    CHECK_EQ(setitimer(ITIMER_REAL, &soon, NULL), 0);

    CHECK_EQ(hosted_link("build/f", "plain/f"), 0);

    CHECK(disk_says("plain/f", "linked"));
    bench_check();
    bench_close();
}

int main(void)
{
    RUN(first_sight_takes_names_and_leaves_bytes);
    RUN(what_others_change_is_seen_by_reconcile);
    RUN(what_both_changed_stays_ours_and_is_reported);
    RUN(our_own_changes_are_no_outsiders);
    RUN(the_end_of_a_watched_directory_is_told_at_once);
    RUN(a_link_to_outside_waits_for_who_looks_at_the_file);
    RUN(a_hosted_directory_that_was_removed_is_gone_with_everything);
    RUN(a_number_the_disk_gives_to_another_file_is_not_ours);
    RUN(a_link_that_others_make_is_a_name_of_our_file);
    RUN(a_link_of_an_older_version_is_another_file);
    RUN(files_are_written_back_into_the_directory_that_others_made_anew);
    RUN(who_cannot_look_takes_nothing_for_gone);
    RUN(what_waits_goes_where_its_directory_went);
    RUN(a_comparison_puts_what_waits_in_a_moved_directory);
    return 0;
}
