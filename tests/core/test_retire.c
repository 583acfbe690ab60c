/* test_retire.c - a directory whose names leave memory is the kernel's, also for whoever walked there
 * before: what he does then is seen on disk at once, by all. */
#include "check.h"

#include "core/arena/layout.h"
#include "core/disk/retire.h"

static struct velo_place placed(const char *name)
{
    struct velo_place place;
    CHECK_EQ(walk_to(name, VELO_WALK_NOFOLLOW, &place), 0);
    return place;
}

/* build/d and build/d/below, with a file each that is on disk only, and an empty directory. */
static void bench_with_directory(void)
{
    bench_open();
    CHECK_EQ(hosted_mkdir("build/d"), 0);
    CHECK_EQ(hosted_mkdir("build/d/below"), 0);
    CHECK_EQ(hosted_mkdir("build/d/empty"), 0);
    hosted_write("build/d/a", "a");
    hosted_write("build/d/below/b", "b");
    flush_everything();
    refresh_everything();
    CHECK_EQ(velo_evict(&bench.region, node_at("build/d/a")), 0);
    CHECK_EQ(velo_evict(&bench.region, node_at("build/d/below/b")), 0);
}

static void retire(void)
{
    CHECK_EQ(velo_retire_found(&bench.region, node_at("build/d")), 0);
}

static void write_at(struct velo_place *place, int flags, const char *text)
{
    const int fd = velo_open(&bench.region, place, flags | O_WRONLY | O_CLOEXEC, 0644);
    CHECK(fd >= 0);
    write_all(fd, text);
    close(fd);
}

static void what_is_below_is_forgotten_and_still_there(void)
{
    bench_with_directory();
    const velo_node_id file = node_at("build/d/a"), below = node_at("build/d/below");

    retire();

    CHECK_EQ(velo_node_at(&bench.region, file)->type, VELO_NONE);
    CHECK_EQ(velo_node_at(&bench.region, below)->type, VELO_NONE);
    CHECK(hosted_says("build/d/a", "a") && hosted_says("build/d/below/b", "b"));
    CHECK_EQ(placed("build/d/a").at.kind, VELO_OUTSIDE);
    bench_check();
    bench_close();
}

static void a_file_that_memory_alone_has_keeps_its_directory(void)
{
    bench_with_directory();
    hosted_write("build/d/below/new", "new");

    CHECK_EQ(velo_retire_found(&bench.region, node_at("build/d")), -ENOSPC);

    CHECK(hosted_says("build/d/below/new", "new") && hosted_says("build/d/a", "a"));
    CHECK_EQ(placed("build/d/a").at.kind, VELO_HOSTED);
    bench_check();
    bench_close();
}

static void a_file_with_a_name_elsewhere_is_one_file_still(void)
{
    bench_with_directory();
    CHECK_EQ(hosted_link("build/d/a", "build/elsewhere"), 0);
    flush_everything();
    refresh_everything();
    struct stat here, there;

    retire();

    CHECK_EQ(placed("build/elsewhere").at.kind, VELO_HOSTED);
    hosted_write("build/elsewhere", "written");
    CHECK(hosted_says("build/d/a", "written") && disk_says("build/d/a", "written"));
    CHECK_EQ(hosted_stat("build/elsewhere", &here), 0);
    CHECK_EQ(stat(in_workspace("build/d/a"), &there), 0);
    CHECK(here.st_ino == there.st_ino && here.st_nlink == 2 && there.st_nlink == 2);
    CHECK_EQ(hosted_unlink("build/elsewhere"), 0);
    CHECK(disk_says("build/d/a", "written"));
    bench_check();
    bench_close();
}

static void many_files_with_names_elsewhere_leave_together(void)
{
    char here[64], there[64];
    bench_with_directory();
    CHECK_EQ(hosted_mkdir("build/e"), 0);
    for (int i = 0; i < 300; i++) {
        snprintf(here, sizeof here, "build/d/below/%d", i);
        snprintf(there, sizeof there, "build/e/%d", i);
        hosted_write(here, "x");
        CHECK_EQ(hosted_link(here, there), 0);
    }
    flush_everything();
    refresh_everything();
    for (int i = 0; i < 300; i++) {
        snprintf(there, sizeof there, "build/e/%d", i);
        CHECK_EQ(velo_evict(&bench.region, node_at(there)), 0);
    }

    retire();

    struct stat stat;
    CHECK_EQ(hosted_stat("build/e/299", &stat), 0);
    CHECK_EQ(stat.st_nlink, 2);
    CHECK_EQ(placed("build/d/below/299").at.kind, VELO_OUTSIDE);
    bench_check();
    bench_close();
}

static void who_walked_there_before_makes_a_file_on_disk(void)
{
    bench_with_directory();
    struct velo_place here = placed("build/d/new"), deeper = placed("build/d/below/new");
    retire();

    write_at(&here, O_CREAT | O_EXCL, "here");
    write_at(&deeper, O_CREAT, "deeper");

    CHECK(disk_says("build/d/new", "here") && disk_says("build/d/below/new", "deeper"));
    bench_check();
    bench_close();
}

static void who_walked_there_before_writes_on_disk(void)
{
    bench_with_directory();
    struct velo_place place = placed("build/d/below/b");
    retire();

    write_at(&place, O_TRUNC, "written");

    CHECK(disk_says("build/d/below/b", "written"));
    bench_check();
    bench_close();
}

static void who_walked_there_before_renames_on_disk(void)
{
    bench_with_directory();
    hosted_write("build/f", "f");
    struct velo_place from = placed("build/f"), to = placed("build/d/f");
    struct velo_place a = placed("build/d/a"), out = placed("build/out");
    retire();

    CHECK_EQ(velo_rename(&bench.region, &from, &to, 0), 0);
    CHECK_EQ(velo_rename(&bench.region, &a, &out, 0), 0);

    CHECK(disk_says("build/d/f", "f") && hosted_says("build/out", "a"));
    CHECK(access(in_workspace("build/d/a"), F_OK) != 0);
    bench_check();
    bench_close();
}

static void who_walked_there_before_removes_and_makes_on_disk(void)
{
    bench_with_directory();
    struct velo_place empty = placed("build/d/empty");
    struct velo_place a = placed("build/d/a"), made = placed("build/d/below/made");
    struct velo_place b = placed("build/d/below/b"), second = placed("build/second");
    retire();

    CHECK_EQ(velo_link(&bench.region, &b, &second), 0);
    CHECK_EQ(velo_unlink(&bench.region, &a), 0);
    CHECK_EQ(velo_mkdir(&bench.region, &made, 0755), 0);
    CHECK_EQ(velo_rmdir(&bench.region, &empty), 0);

    CHECK(access(in_workspace("build/d/a"), F_OK) != 0);
    CHECK(access(in_workspace("build/d/empty"), F_OK) != 0);
    CHECK_EQ(access(in_workspace("build/d/below/made"), F_OK), 0);
    CHECK(hosted_says("build/second", "b"));
    bench_check();
    bench_close();
}

/* What cannot be listed now, nobody knows all of; when it can be, it is as the disk has it. */
static void a_closed_directory_comes_back_when_it_can_be_listed(void)
{
    if (geteuid() != 0)
        return; /* only root can give it to somebody else */
    bench_with_directory();
    CHECK_EQ(chown(in_workspace("build/d"), 4242, 4242), 0);
    reconcile();

    velo_close_directory(&bench.region, node_at("build/d"));

    CHECK_EQ(placed("build/d/below/b").at.kind, VELO_OUTSIDE);
    CHECK(hosted_says("build/d/below/b", "b"));
    CHECK_EQ(unlink(in_workspace("build/d/a")), 0);
    reconcile();
    CHECK_EQ(placed("build/d/below/b").at.kind, VELO_HOSTED);
    CHECK(hosted_says("build/d/below/b", "b"));
    CHECK_EQ(placed("build/d/a").at.type, VELO_NONE);
    hosted_write("build/d/below/b", "again");
    flush_everything();
    CHECK(disk_says("build/d/below/b", "again"));
    bench_check();
    bench_close();
}

static void an_owner_who_closed_a_directory_knows_what_is_in_it(void)
{
    bench_with_directory();

    velo_close_directory(&bench.region, node_at("build/d"));

    CHECK_EQ(placed("build/d/below/b").at.kind, VELO_HOSTED);
    bench_check();
    bench_close();
}

int main(void)
{
    RUN(what_is_below_is_forgotten_and_still_there);
    RUN(a_file_that_memory_alone_has_keeps_its_directory);
    RUN(a_file_with_a_name_elsewhere_is_one_file_still);
    RUN(many_files_with_names_elsewhere_leave_together);
    RUN(who_walked_there_before_makes_a_file_on_disk);
    RUN(who_walked_there_before_writes_on_disk);
    RUN(who_walked_there_before_renames_on_disk);
    RUN(who_walked_there_before_removes_and_makes_on_disk);
    RUN(a_closed_directory_comes_back_when_it_can_be_listed);
    RUN(an_owner_who_closed_a_directory_knows_what_is_in_it);
    return 0;
}
