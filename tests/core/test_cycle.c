/* test_cycle.c - where bytes live: put, evict, cold, load; charges; stamps. */
#include "store.h"

static struct timespec disk_mtime(const char *name)
{
    struct stat st;
    CHECK_EQ(lstat(in_workspace(name), &st), 0);
    return st.st_mtim;
}

static int same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* ---- put ------------------------------------------------------------------------------------- */

static void flush_leaves_what_the_plain_command_would_have_left(void)
{
    struct velo_place place;
    struct stat disk;
    bench_open();
    hosted_write("build/f", "bytes");
    CHECK_EQ(walk_to("build/f", 0, &place), 0);
    CHECK_EQ(velo_chmod(&bench.region, &place, 0751), 0);
    const struct timespec times[2] = {{1000000000, 5}, {1234567890, 123456789}};
    CHECK_EQ(velo_utimens(&bench.region, &place, times), 0);
    CHECK_EQ(info_at("build/f").dirty_disk, 1);

    flush_everything();

    CHECK(disk_says("build/f", "bytes"));
    CHECK_EQ(lstat(in_workspace("build/f"), &disk), 0);
    CHECK_EQ(disk.st_mode, S_IFREG | 0751);
    CHECK(same_time(disk.st_mtim, times[1]));
    CHECK(same_time(stat_at("build/f").st_mtim, times[1]));
    CHECK_EQ(info_at("build/f").dirty_disk, 0);
    const struct timespec directory = stat_at("build").st_mtim;
    CHECK(same_time(disk_mtime("build"), directory));
    CHECK_EQ(reconcile().changed, 0);
    bench_close();
}

static void writeback_goes_by_age(void)
{
    char name[32];
    bench_open();
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "build/f%d", i);
        hosted_write(name, name);
        struct velo_place place;
        CHECK_EQ(walk_to(name, 0, &place), 0);
        const struct timespec times[2] = {{1, 0}, {1000 - (i * 7) % 20, 0}};
        CHECK_EQ(velo_utimens(&bench.region, &place, times), 0);
    }
    flush_everything();
    /* The order in which the kernel gave out ctimes is the order of renames into place. */
    struct stat a, b;
    for (int i = 0; i < 20; i++)
        for (int j = 0; j < 20; j++) {
            snprintf(name, sizeof name, "build/f%d", i);
            CHECK_EQ(lstat(in_workspace(name), &a), 0);
            snprintf(name, sizeof name, "build/f%d", j);
            CHECK_EQ(lstat(in_workspace(name), &b), 0);
            if (a.st_mtim.tv_sec < b.st_mtim.tv_sec)
                CHECK(a.st_ctim.tv_sec < b.st_ctim.tv_sec ||
                      (a.st_ctim.tv_sec == b.st_ctim.tv_sec &&
                       a.st_ctim.tv_nsec <= b.st_ctim.tv_nsec));
        }
    bench_close();
}

static void a_file_that_is_being_written_stays_dirty(void)
{
    bench_open();
    const int fd = hosted_open("build/f", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    write_all(fd, "part");
    CHECK_EQ(velo_writeback(&bench.region, node_at("build/f"), 0), 1);
    CHECK(disk_says("build/f", "part"));
    CHECK_EQ(info_at("build/f").dirty_disk, 1);
    CHECK_EQ(velo_evict(&bench.region, node_at("build/f")), -EBUSY);
    write_all(fd, " and the rest");
    close(fd);
    CHECK_EQ(velo_writeback(&bench.region, node_at("build/f"), 0), 0);
    CHECK(disk_says("build/f", "part and the rest"));
    CHECK_EQ(info_at("build/f").dirty_disk, 0);
    bench_close();
}

static void programs_are_known_to_be_waiting_until_they_are_on_disk(void)
{
    struct velo_flush_result result;
    struct velo_place place;
    bench_open();
    hosted_write("build/plain", "x");
    CHECK_EQ(velo_programs_pending(&bench.region), 0);
    hosted_write("build/lib.so.1", "x");
    CHECK_EQ(velo_programs_pending(&bench.region), 1);
    CHECK_EQ(hosted_link("build/plain", "build/tool.so"), 0);
    CHECK_EQ(walk_to("build/plain", 0, &place), 0);
    CHECK_EQ(velo_chmod(&bench.region, &place, 0755), 0);
    CHECK_EQ(velo_flush(&bench.region, VELO_FLUSH_PROGRAMS, 1000, &result), 0);
    CHECK_EQ(velo_programs_pending(&bench.region), 0);
    CHECK_EQ(access(in_workspace("build/plain"), X_OK), 0);
    hosted_write("build/plain", "changed");
    CHECK_EQ(velo_programs_pending(&bench.region), 1);
    CHECK_EQ(hosted_unlink("build/plain"), 0);
    CHECK_EQ(hosted_unlink("build/tool.so"), 0);
    CHECK_EQ(velo_programs_pending(&bench.region), 0);
    bench_close();
}

/* ---- evict, cold, load ----------------------------------------------------------------------- */

static void a_file_goes_to_disk_and_comes_back_when_written(void)
{
    bench_open();
    hosted_write("build/f", "on disk");
    const struct stat before = stat_at("build/f");
    CHECK_EQ(velo_evict(&bench.region, node_at("build/f")), -EBUSY); /* dirty both ways */
    flush_everything();
    CHECK_EQ(velo_evict(&bench.region, node_at("build/f")), 0);

    CHECK_EQ(info_at("build/f").state, VELO_DISK);
    CHECK_EQ(charged_bytes(), 0);
    CHECK(same_time(stat_at("build/f").st_mtim, before.st_mtim));
    CHECK_EQ(stat_at("build/f").st_ino, before.st_ino);
    const int fd = hosted_open("build/f", O_WRONLY | O_APPEND | O_CLOEXEC, 0);
    CHECK(fd >= 0);
    CHECK_EQ(info_at("build/f").state, VELO_BACKED);
    write_all(fd, " again");
    close(fd);
    CHECK(hosted_says("build/f", "on disk again"));
    CHECK(disk_says("build/f", "on disk"));
    flush_everything();
    CHECK(disk_says("build/f", "on disk again"));
    bench_close();
}

static void a_file_that_is_open_is_not_evicted(void)
{
    bench_open();
    hosted_write("build/f", "bytes");
    flush_everything();
    const int fd = hosted_open("build/f", O_RDONLY | O_CLOEXEC, 0);
    CHECK_EQ(velo_evict(&bench.region, node_at("build/f")), -EBUSY);
    close(fd);
    CHECK_EQ(velo_evict(&bench.region, node_at("build/f")), 0);
    CHECK_EQ(velo_evict(&bench.region, node_at("build/f")), -ENOENT);
    bench_close();
}

static void a_cold_file_is_loaded_by_whoever_opens_it(void)
{
    bench_open();
    bench.region.ask = answer;
    hosted_write("build/f", "only stored");
    CHECK_EQ(hosted_link("build/f", "build/g"), 0);
    CHECK_EQ(store_node(node_at("build/f")), 0);
    CHECK_EQ(velo_refresh_attributes(&bench.region, node_at("build/f")), 0);
    const struct stat before = stat_at("build/f");
    CHECK_EQ(velo_evict(&bench.region, node_at("build/f")), 0);
    CHECK_EQ(info_at("build/f").state, VELO_COLD);
    CHECK_EQ(charged_bytes(), 0);
    CHECK_EQ(stat_at("build/g").st_size, before.st_size);

    CHECK(hosted_says("build/g", "only stored"));

    CHECK_EQ(info_at("build/f").state, VELO_BACKED);
    const struct stat after = stat_at("build/f");
    CHECK(same_time(after.st_mtim, before.st_mtim));
    CHECK(same_time(after.st_ctim, before.st_ctim));
    CHECK_EQ(after.st_mode, before.st_mode);
    CHECK_EQ(info_at("build/f").dirty_store, 0);
    flush_everything();
    CHECK(disk_says("build/g", "only stored"));
    bench_close();
}

static void nobody_to_load_a_cold_file_is_an_error_and_no_loss(void)
{
    bench_open();
    hosted_write("build/f", "only stored");
    CHECK_EQ(store_node(node_at("build/f")), 0);
    CHECK_EQ(velo_evict(&bench.region, node_at("build/f")), 0);
    CHECK_EQ(hosted_open("build/f", O_RDONLY, 0), -EIO);
    bench.region.ask = answer;
    CHECK(hosted_says("build/f", "only stored"));
    bench_close();
}

static void what_was_stored_of_an_older_version_counts_for_nothing(void)
{
    bench_open();
    hosted_write("build/f", "one");
    const struct velo_node_info old = info_at("build/f");
    hosted_write("build/f", "two");
    const uint8_t digest[32] = {1};
    CHECK_EQ(velo_stored(&bench.region, &old, digest), -ESTALE);
    CHECK_EQ(info_at("build/f").dirty_store, 1);
    bench_close();
}

/* ---- space ----------------------------------------------------------------------------------- */

static void charges_follow_what_files_hold(void)
{
    bench_open();
    CHECK_EQ(charged_bytes(), 0);
    const int fd = hosted_open("build/f", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    CHECK_EQ(velo_charge(&bench.region, node_at("build/f"), 1), 0);
    const uint64_t step = charged_bytes();
    CHECK(step >= 1);
    CHECK_EQ(velo_charge(&bench.region, node_at("build/f"), step), 0);
    CHECK_EQ(charged_bytes(), step);
    CHECK_EQ(velo_charge(&bench.region, node_at("build/f"), 10 * step), 0);
    CHECK_EQ(charged_bytes(), 10 * step);
    write_all(fd, "few bytes");
    velo_refresh_attributes(&bench.region, node_at("build/f"));
    CHECK_EQ(charged_bytes(), 10 * step); /* a writer's charge does not fall */
    close(fd);
    velo_refresh_attributes(&bench.region, node_at("build/f"));
    CHECK_EQ(charged_bytes(), 4096);
    CHECK_EQ(hosted_rename("build/f", "build/elsewhere"), 0);
    CHECK_EQ(charged_bytes(), 4096);
    CHECK_EQ(hosted_unlink("build/elsewhere"), 0);
    refresh_everything();
    CHECK_EQ(charged_bytes(), 0);
    bench_close();
}

static void a_full_memory_asks_and_goes_on(void)
{
    enum { MIB = 1 << 20 };
    static char megabyte[MIB];
    char name[32];
    bench_open_with(32ull << 20);
    bench.region.ask = answer;
    memset(megabyte, 'm', sizeof megabyte);
    for (int i = 0; i < 60; i++) {
        snprintf(name, sizeof name, "build/f%d", i);
        const int fd = hosted_open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        CHECK(fd >= 0);
        CHECK_EQ(velo_charge(&bench.region, node_at(name), MIB), 0);
        CHECK_EQ(write(fd, megabyte, MIB), MIB);
        close(fd);
        CHECK(charged_bytes() <= 32ull << 20);
    }
    for (int i = 0; i < 60; i++) {
        snprintf(name, sizeof name, "build/f%d", i);
        CHECK_EQ(stat_at(name).st_size, MIB);
    }
    bench_close();
}

static void a_full_memory_that_nobody_empties_is_an_honest_error(void)
{
    static char megabyte[1 << 20];
    char name[32];
    bench_open_with(16ull << 20);
    int rc = 0;
    for (int i = 0; i < 30 && rc == 0; i++) {
        snprintf(name, sizeof name, "build/f%d", i);
        const int fd = hosted_open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        CHECK(fd >= 0); /* when memory is full it is born on disk */
        rc = velo_charge(&bench.region, node_at(name), sizeof megabyte);
        if (rc == 0)
            CHECK_EQ(write(fd, megabyte, sizeof megabyte), sizeof megabyte);
        close(fd);
    }
    CHECK(rc == 0 || rc == -ENOSPC);
    CHECK(charged_bytes() <= 16ull << 20);
    hosted_write("build/last", "on disk itself");
    CHECK(hosted_says("build/last", "on disk itself"));
    CHECK_EQ(reconcile().conflicts, 0);
    CHECK(hosted_says("build/last", "on disk itself"));
    bench_close();
}

/* ---- stamps ---------------------------------------------------------------------------------- */

static int64_t ns_of(struct timespec time)
{
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void stamps_of_both_worlds_are_one_order(void)
{
    char name[48];
    int64_t last = 0;
    bench_open();
    for (int i = 0; i < 300; i++) {
        struct stat st;
        snprintf(name, sizeof name, "build/f%d", i);
        if (i % 3 == 0) {
            outsider_writes("plain/f", "x");
            CHECK_EQ(stat(in_workspace("plain/f"), &st), 0);
        } else if (i % 3 == 1) {
            hosted_write(name, "x");
            st = stat_at(name);
        } else {
            CHECK_EQ(hosted_mkdir(name), 0);
            st = stat_at(name);
        }
        CHECK(ns_of(st.st_mtim) >= last);
        last = ns_of(st.st_mtim);
        if (i % 3 == 2) /* its entry is not newer than the directory that got it */
            CHECK(ns_of(stat_at("build").st_mtim) >= last);
    }
    bench_close();
}

static void a_directory_that_was_looked_at_gets_a_later_stamp(void)
{
    bench_open();
    int64_t last = 0;
    for (int i = 0; i < 100; i++) {
        char name[32];
        snprintf(name, sizeof name, "build/f%d", i);
        hosted_write(name, "x");
        const struct stat st = stat_at("build");
        CHECK(ns_of(st.st_mtim) >= last);
        CHECK_EQ(ns_of(st.st_mtim), ns_of(st.st_ctim));
        last = ns_of(st.st_mtim);
    }
    bench_close();
}

static void an_arena_of_another_build_is_refused(void)
{
    struct velo_region other;
    char path[128];
    bench_open();
    CHECK_EQ(velo_region_attach(&other, "/dev/shm/velo-test-none"), -ENOENT);
    snprintf(path, sizeof path, "%s/meta", bench.arena);
    const int fd = open(path, O_RDWR);
    uint64_t hash = velo_layout_hash() + 1;
    CHECK_EQ(pwrite(fd, &hash, sizeof hash, 16), sizeof hash);
    CHECK_EQ(velo_region_attach(&other, bench.arena), -EPROTO);
    CHECK_EQ(ftruncate(fd, 100), 0);
    CHECK_EQ(velo_region_attach(&other, bench.arena), -EINVAL);
    close(fd);
    bench_remove();
}

static void a_sweep_takes_unowned_files_and_nothing_else(void)
{
    char path[160];
    bench_open();
    hosted_write("build/f", "ours");
    const pid_t child = fork();
    if (child == 0)
        _exit(0);
    CHECK(child_ended_well(child));
    snprintf(path, sizeof path, "%s/i/%016llx", bench.arena, (unsigned long long)child << 40 | 5);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    CHECK_EQ(velo_sweep(&bench.region), 1);
    CHECK_EQ(access(path, F_OK), -1);
    CHECK_EQ(velo_sweep(&bench.region), 0);
    CHECK(hosted_says("build/f", "ours"));
    bench_close();
}

int main(void)
{
    RUN(flush_leaves_what_the_plain_command_would_have_left);
    RUN(writeback_goes_by_age);
    RUN(a_file_that_is_being_written_stays_dirty);
    RUN(programs_are_known_to_be_waiting_until_they_are_on_disk);
    RUN(a_file_goes_to_disk_and_comes_back_when_written);
    RUN(a_file_that_is_open_is_not_evicted);
    RUN(a_cold_file_is_loaded_by_whoever_opens_it);
    RUN(nobody_to_load_a_cold_file_is_an_error_and_no_loss);
    RUN(what_was_stored_of_an_older_version_counts_for_nothing);
    RUN(charges_follow_what_files_hold);
    RUN(a_full_memory_asks_and_goes_on);
    RUN(a_full_memory_that_nobody_empties_is_an_honest_error);
    RUN(stamps_of_both_worlds_are_one_order);
    RUN(a_directory_that_was_looked_at_gets_a_later_stamp);
    RUN(an_arena_of_another_build_is_refused);
    RUN(a_sweep_takes_unowned_files_and_nothing_else);
    return 0;
}
