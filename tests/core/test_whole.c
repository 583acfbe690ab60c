/* test_whole.c - a file that is put back appears whole, or not at all. */
#include "check.h"

#include "core/arena/layout.h"

#define STAMP_NS 1700000000123456789

static int begin(const char *relative, mode_t mode, uint64_t bytes, struct velo_place *place,
                 struct velo_whole *whole)
{
    CHECK_EQ(walk_to(relative, VELO_WALK_NOFOLLOW | VELO_WALK_LAST, place), 0);
    return velo_whole_begin(&bench.region, place, mode, bytes, whole);
}

static void it_is_what_open_write_chmod_and_utimens_make(void)
{
    static const mode_t modes[] = {0644, 0600, 0755, 0444, 04711, 0};
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        struct velo_place place;
        struct velo_whole whole;
        bench_open();
        CHECK_EQ(begin("build/f", modes[i] & 0777, 5, &place, &whole), 0);
        write_all(whole.fd, "whole");
        CHECK_EQ(velo_whole_end(&bench.region, &place, &whole, modes[i], STAMP_NS), 0);
        bench_check();
        const struct stat seen = stat_at("build/f");
        const struct velo_node_info info = info_at("build/f");
        CHECK_EQ(seen.st_mode, S_IFREG | modes[i]);
        CHECK_EQ(seen.st_mode, whole.stat.st_mode);
        CHECK_EQ(seen.st_size, 5);
        CHECK_EQ(seen.st_nlink, 1);
        CHECK_EQ(seen.st_uid, geteuid());
        CHECK_EQ(seen.st_mtim.tv_sec, STAMP_NS / 1000000000);
        CHECK_EQ(seen.st_mtim.tv_nsec, STAMP_NS % 1000000000);
        CHECK_EQ(info.node.slot, whole.node.slot);
        CHECK_EQ(info.generation, whole.generation);
        CHECK_EQ(info.version, whole.version);
        CHECK_EQ(info.state, VELO_BACKED);
        CHECK(info.dirty_disk && info.charged_bytes >= 5);
        if (geteuid() == 0 || (modes[i] & 0400) != 0)
            CHECK(hosted_says("build/f", "whole"));
        flush_everything();
        refresh_everything();
        if (geteuid() == 0 || (modes[i] & 0400) != 0)
            CHECK(disk_says("build/f", "whole"));
        struct stat disk;
        CHECK_EQ(lstat(in_workspace("build/f"), &disk), 0);
        CHECK_EQ(disk.st_mode, S_IFREG | modes[i]);
        CHECK_EQ(disk.st_mtim.tv_nsec, STAMP_NS % 1000000000);
        bench_check();
        bench_close();
    }
}

static void nobody_sees_it_before(void)
{
    struct velo_place place;
    struct velo_whole whole;
    struct stat none;
    bench_open();
    CHECK_EQ(begin("build/f", 0644, 5, &place, &whole), 0);
    write_all(whole.fd, "part");
    CHECK_EQ(hosted_stat("build/f", &none), -ENOENT);
    flush_everything();
    refresh_everything();
    CHECK(lstat(in_workspace("build/f"), &none) != 0);
    bench_check();

    velo_whole_abandon(&whole);

    refresh_everything();
    bench_check();
    CHECK_EQ(hosted_stat("build/f", &none), -ENOENT);
    CHECK_EQ(charged_bytes(), 0);
    CHECK_EQ(backing_files(), 0);
    bench_close();
}

static void what_stands_there_stays(void)
{
    struct velo_place place;
    struct velo_whole whole;
    bench_open();
    CHECK_EQ(begin("build/f", 0644, 5, &place, &whole), 0);
    write_all(whole.fd, "whole");
    hosted_write("build/f", "another's");
    CHECK_EQ(velo_whole_end(&bench.region, &place, &whole, 0644, STAMP_NS), -EEXIST);
    CHECK(hosted_says("build/f", "another's"));
    CHECK_EQ(begin("build/f", 0644, 5, &place, &whole), -EXDEV);
    refresh_everything();
    CHECK_EQ(backing_files(), 1);
    bench_check();
    bench_close();
}

static void a_directory_that_went_takes_it_along(void)
{
    struct velo_place place;
    struct velo_whole whole;
    bench_open();
    CHECK_EQ(hosted_mkdir("build/d"), 0);
    CHECK_EQ(begin("build/d/f", 0644, 5, &place, &whole), 0);
    struct velo_place directory;
    CHECK_EQ(walk_to("build/d", VELO_WALK_NOFOLLOW, &directory), 0);
    CHECK_EQ(velo_rmdir(&bench.region, &directory), 0);
    CHECK_EQ(velo_whole_end(&bench.region, &place, &whole, 0644, STAMP_NS), -ENOENT);
    refresh_everything();
    bench_check();
    CHECK_EQ(charged_bytes(), 0);
    CHECK_EQ(backing_files(), 0);
    bench_close();
}

static void more_than_there_is_room_for_is_refused_before_it_is_written(void)
{
    struct velo_place place;
    struct velo_whole whole;
    bench_open();
    CHECK_EQ(begin("build/f", 0644, BENCH_MEMORY_BYTES, &place, &whole), -EXDEV);
    CHECK_EQ(begin("plain/f", 0644, 5, &place, &whole), -EXDEV);
    CHECK_EQ(charged_bytes(), 0);
    CHECK_EQ(backing_files(), 0);
    bench_check();
    bench_close();
}

int main(void)
{
    RUN(it_is_what_open_write_chmod_and_utimens_make);
    RUN(nobody_sees_it_before);
    RUN(what_stands_there_stays);
    RUN(a_directory_that_went_takes_it_along);
    RUN(more_than_there_is_room_for_is_refused_before_it_is_written);
    return 0;
}
