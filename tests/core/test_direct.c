/* test_direct.c - files that are read and written at their real path, while others would move them
 * to memory: whoever has a descriptor goes on seeing what becomes of the file, as natively.
 *
 *   test_direct [rounds]
 *
 * A file is written on disk when memory is full and nobody can make room, and when somebody has the
 * disk's own file open: a copy in memory would leave those behind with the past. */
#include "check.h"

#include "core/disk/copy.h"
#include "core/disk/writeback.h"
#include "core/disk/xattr.h"
#include "core/arena/layout.h"

#include <sched.h>
#include <sys/mman.h>

static int rounds = 300;

static void memory_is(uint64_t bytes)
{
    bench.region.header->max_memory_bytes = bytes;
    bench.region.header->room_ns = 0; /* what was found a moment ago is of another one */
}

static void evict(const char *name)
{
    flush_everything();
    refresh_everything();
    CHECK_EQ(velo_evict(&bench.region, node_at(name)), 0);
    CHECK_EQ(info_at(name).state, VELO_DISK);
}

static void bench_with_file_on_disk(const char *text)
{
    bench_open();
    hosted_write("build/f", text);
    evict("build/f");
}

/* ---- one after the other --------------------------------------------------------------------- */

static void a_writer_on_disk_loses_nothing_to_who_would_copy_the_file(void)
{
    bench_with_file_on_disk("0123456789");
    memory_is(1);
    const int direct = hosted_open("build/f", O_WRONLY | O_CLOEXEC, 0);
    CHECK(direct >= 0);
    CHECK_EQ(info_at("build/f").state, VELO_DISK);
    memory_is(BENCH_MEMORY_BYTES);

    const pid_t child = fork();
    if (child == 0) {
        const int other = hosted_open("build/f", O_RDWR | O_CLOEXEC, 0);
        CHECK(other >= 0);
        CHECK_EQ(pwrite(other, "B", 1, 5), 1);
        _exit(0);
    }
    CHECK(child_ended_well(child));
    CHECK_EQ(pwrite(direct, "A", 1, 0), 1);
    close(direct);

    CHECK(hosted_says("build/f", "A1234B6789"));
    flush_everything();
    CHECK(disk_says("build/f", "A1234B6789"));
    CHECK_EQ(reconcile().conflicts, 0);
    bench_close();
}

static void a_reader_of_the_disks_file_sees_what_is_written_in_place(void)
{
    bench_with_file_on_disk("0123456789");
    const int reader = hosted_open("build/f", O_RDONLY | O_CLOEXEC, 0);
    const char *map = mmap(NULL, 10, PROT_READ, MAP_SHARED, reader, 0);
    CHECK(reader >= 0 && map != MAP_FAILED);
    struct stat before, after;
    CHECK_EQ(fstat(reader, &before), 0);

    const int writer = hosted_open("build/f", O_WRONLY | O_CLOEXEC, 0);
    CHECK_EQ(pwrite(writer, "new", 3, 2), 3);

    CHECK(fd_says(reader, "01new56789"));
    CHECK(memcmp(map, "01new56789", 10) == 0);
    CHECK_EQ(fstat(writer, &after), 0);
    CHECK_EQ(after.st_ino, before.st_ino);
    close(writer);
    close(reader); /* the mapping is left */
    hosted_write("build/f", "ABCDEFGHIJ");
    CHECK(memcmp(map, "ABCDEFGHIJ", 10) == 0);
    munmap((void *)map, 10);

    hosted_write("build/f", "last"); /* nobody looks: to memory again */
    CHECK_EQ(info_at("build/f").state, VELO_BACKED);
    CHECK(hosted_says("build/f", "last"));
    CHECK_EQ(reconcile().conflicts, 0);
    CHECK(hosted_says("build/f", "last"));
    bench_close();
}

static void truncating_the_disks_file_is_seen_by_its_readers(void)
{
    static const int ways[] = {O_WRONLY | O_TRUNC, O_RDONLY | O_TRUNC, O_RDWR | O_TRUNC | O_APPEND};
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        struct stat st;
        bench_with_file_on_disk("0123456789");
        const int reader = hosted_open("build/f", O_RDONLY | O_CLOEXEC, 0);
        const int opened = hosted_open("build/f", ways[i] | O_CLOEXEC, 0);
        CHECK(opened >= 0);
        CHECK_EQ(fcntl(opened, F_GETFL) & (O_ACCMODE | O_APPEND), ways[i] & ~O_TRUNC);
        CHECK_EQ(fstat(reader, &st), 0);
        CHECK_EQ(st.st_size, 0);
        CHECK_EQ(stat_at("build/f").st_size, 0);
        close(opened);
        close(reader);
        bench_close();
    }
}

static void another_file_of_the_name_is_not_opened_for_it(void)
{
    /* An outsider replaced the file: natively that is what an open finds. */
    bench_with_file_on_disk("old");
    const int fd = open(in_workspace("build/x"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    write_all(fd, "new");
    close(fd);
    CHECK_EQ(rename(in_workspace("build/x"), in_workspace("build/f")), 0);

    CHECK(hosted_says("build/f", "new"));
    CHECK_EQ(stat_at("build/f").st_mode & 07777, 0600);
    bench_close();
}

/* ---- led to the disk by who writes ------------------------------------------------------------ */

static void a_file_goes_with_all_its_names(void)
{
    bench_open();
    hosted_mkdir("build/d");
    const int fd = hosted_open("build/f", O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    CHECK_EQ(hosted_link("build/f", "build/d/g"), 0);
    write_all(fd, "one");

    const int disk = velo_relocate(&bench.region, node_at("build/f"), fd);

    CHECK(disk >= 0);
    CHECK_EQ(info_at("build/d/g").state, VELO_DISK);
    CHECK_EQ(pwrite(disk, "two", 3, 3), 3);
    CHECK(disk_says("build/f", "onetwo") && disk_says("build/d/g", "onetwo"));
    struct stat stat;
    CHECK(fstat(disk, &stat) == 0 && stat.st_nlink == 2);
    close(disk);
    close(fd);
    CHECK_EQ(reconcile().conflicts, 0);
    bench_close();
}

static void somebody_else_keeps_it_in_memory_and_what_is_written_then_is_put(void)
{
    bench_open();
    const int fd = hosted_open("build/f", O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    write_all(fd, "one");
    const int reader = hosted_open("build/f", O_RDONLY | O_CLOEXEC, 0);
    CHECK_EQ(velo_relocate(&bench.region, node_at("build/f"), fd), -EBUSY);
    close(reader);
    write_all(fd, "two");
    close(fd);
    flush_everything();
    CHECK(disk_says("build/f", "onetwo"));
    bench_close();
}

/* All is on disk as it is, but another file stands there by now: what is written from then on is not on disk. */
static void a_file_that_could_not_be_led_to_the_disk_is_put_again(void)
{
    bench_open();
    const int fd = hosted_open("build/f", O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    const velo_node_id node = node_at("build/f");
    write_all(fd, "one");
    CHECK_EQ(velo_writeback(&bench.region, node, VELO_FLUSH_OURS), 0);
    CHECK(!info_at("build/f").dirty_disk);
    outsider_writes("other", "and");
    CHECK_EQ(rename(in_workspace("other"), in_workspace("build/f")), 0);

    CHECK_EQ(velo_relocate(&bench.region, node, fd), -EBUSY);

    CHECK(info_at("build/f").dirty_disk);
    close(fd);
    bench_close();
}

static void nobody_leads_a_file_without_a_name_away_from_who_stands_aside(void)
{
    bench_open();
    const int fd = hosted_open("build/f", O_CREAT | O_RDWR | O_CLOEXEC, 0644);
    const velo_node_id node = node_at("build/f");
    int ready[2], end[2];
    char byte = 0;
    CHECK(pipe(ready) == 0 && pipe(end) == 0);
    const pid_t child = fork();
    if (child == 0) {
        close(fd);
        close(end[1]);
        CHECK_EQ(velo_park(&bench.region, node, 1), 0);
        CHECK_EQ(write(ready[1], &byte, 1), 1);
        CHECK_EQ(read(end[0], &byte, 1), 0);
        _exit(0);
    }
    CHECK_EQ(read(ready[0], &byte, 1), 1);
    CHECK_EQ(hosted_unlink("build/f"), 0);
    CHECK_EQ(velo_relocate(&bench.region, node, fd), -EBUSY);
    CHECK_EQ(velo_first_parked(&bench.region, node), (uint32_t)child);
    close(end[1]);
    CHECK(child_ended_well(child));
    CHECK_EQ(velo_first_parked(&bench.region, node), 0);
    const int disk = velo_relocate(&bench.region, node, fd);
    CHECK(disk >= 0);
    close(disk);
    close(fd);
    close(ready[0]);
    close(ready[1]);
    close(end[0]);
    bench_close();
}

static void a_copy_into_memory_is_of_the_file_that_was_meant(void)
{
    struct velo_place before;
    bench_with_file_on_disk("effs own");
    CHECK_EQ(hosted_link("build/f", "build/other"), 0);
    hosted_write("build/c", "the other");
    evict("build/c");
    CHECK_EQ(walk_to("build/f", 0, &before), 0);
    CHECK_EQ(hosted_rename("build/c", "build/f"), 0);

    struct velo_snapshot snapshot;
    CHECK_EQ(velo_snapshot_take(&bench.region, before.at.node, &snapshot), 0);
    CHECK_EQ(velo_copy_up(&bench.region, &before, &snapshot, 0), -ENOENT);
    CHECK_EQ(info_at("build/other").state, VELO_DISK);

    const int fd = velo_open(&bench.region, &before, O_WRONLY | O_APPEND | O_CLOEXEC, 0);
    CHECK(fd >= 0);
    write_all(fd, "!");
    close(fd);
    CHECK(hosted_says("build/f", "the other!"));
    CHECK(hosted_says("build/other", "effs own"));
    flush_everything();
    CHECK(disk_says("build/f", "the other!"));
    CHECK(disk_says("build/other", "effs own"));
    bench_close();
}

/* ---- all at once ----------------------------------------------------------------------------- */

/* Put, evict, and let memory be full now and then, until told to stop. */
static void disturb(_Atomic int *stop)
{
    for (unsigned turn = 0; !atomic_load(stop); turn++) {
        memory_is(turn % 3 == 0 ? 1 : BENCH_MEMORY_BYTES);
        struct velo_flush_result result;
        velo_flush(&bench.region, 0, 100, &result);
        struct velo_place place;
        if (walk_to("build/f", 0, &place) == 0 && velo_is_node(place.at.node)) {
            velo_refresh_attributes(&bench.region, place.at.node);
            velo_evict(&bench.region, place.at.node);
        }
    }
    memory_is(BENCH_MEMORY_BYTES);
}

static pid_t start(void (*work)(int self, _Atomic int *shared), int self, _Atomic int *shared)
{
    const pid_t child = fork();
    if (child != 0)
        return child;
    work(self, shared);
    _exit(0);
}

/* Long enough for an eviction, which wants the file closed by all. */
static void between_opens(void)
{
    const struct timespec moment = {0, 500000};
    nanosleep(&moment, NULL);
}

static void append_lines(int self, _Atomic int *shared)
{
    (void)shared;
    for (int i = 0; i < rounds;) {
        char line[16];
        const int fd = hosted_open("build/f", O_WRONLY | O_APPEND | O_CLOEXEC, 0);
        CHECK(fd >= 0);
        for (const int end = i + 1 + self; i < rounds && i < end; i++) {
            snprintf(line, sizeof line, "%d %06d\n", self, i);
            write_all(fd, line);
            sched_yield();
        }
        close(fd);
        between_opens();
    }
}

static void no_line_of_parallel_writers_is_lost_wherever_the_file_is(void)
{
    enum { WRITERS = 3, LINE = 9 };
    pid_t children[WRITERS];
    bench_open();
    hosted_write("build/f", "");
    _Atomic int *shared =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    const pid_t shard = fork();
    if (shard == 0) {
        disturb(shared);
        _exit(0);
    }
    for (int i = 0; i < WRITERS; i++)
        children[i] = start(append_lines, i, shared);
    for (int i = 0; i < WRITERS; i++)
        CHECK(child_ended_well(children[i]));
    atomic_store(shared, 1);
    CHECK(child_ended_well(shard));

    const int fd = hosted_open("build/f", O_RDONLY | O_CLOEXEC, 0);
    char line[LINE + 1] = "";
    int next[WRITERS] = {0}, count = 0;
    for (; read(fd, line, LINE) == LINE; count++) {
        const int writer = line[0] - '0';
        CHECK(writer >= 0 && writer < WRITERS);
        CHECK_EQ(atoi(line + 2), next[writer]);
        next[writer]++;
    }
    close(fd);
    CHECK_EQ(count, WRITERS * rounds);
    munmap((void *)shared, 4096);
    bench_close();
}

/* shared[1] is what has been written in place so far: no descriptor may show less. */
static void watch(int self, _Atomic int *shared)
{
    (void)self;
    while (!atomic_load(shared)) {
        const int fd = hosted_open("build/f", O_RDONLY | O_CLOEXEC, 0);
        CHECK(fd >= 0);
        for (int snapshot = 0; snapshot < 20; snapshot++) {
            const int least = atomic_load(&shared[1]);
            int seen = -1;
            CHECK_EQ(pread(fd, &seen, sizeof seen, 0), sizeof seen);
            CHECK(seen >= least);
            sched_yield();
        }
        close(fd);
        between_opens();
    }
}

static void no_reader_is_left_behind_with_the_past(void)
{
    bench_open();
    const int zero = 0;
    int fd = hosted_open("build/f", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    CHECK_EQ(write(fd, &zero, sizeof zero), sizeof zero);
    close(fd);
    _Atomic int *shared =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    const pid_t readers[2] = {start(watch, 0, shared), start(watch, 1, shared)};
    const pid_t shard = fork();
    if (shard == 0) {
        disturb(shared);
        _exit(0);
    }
    for (int i = 1; i <= rounds; i++) {
        fd = hosted_open("build/f", O_WRONLY | O_CLOEXEC, 0);
        CHECK(fd >= 0);
        CHECK_EQ(pwrite(fd, &i, sizeof i, 0), sizeof i);
        close(fd);
        atomic_store(&shared[1], i);
        between_opens();
    }
    atomic_store(shared, 1);
    CHECK(child_ended_well(readers[0]));
    CHECK(child_ended_well(readers[1]));
    CHECK(child_ended_well(shard));
    munmap((void *)shared, 4096);
    bench_close();
}

int main(int argc, char **argv)
{
    rounds = argc > 1 ? atoi(argv[1]) : rounds;
    RUN(a_writer_on_disk_loses_nothing_to_who_would_copy_the_file);
    RUN(a_reader_of_the_disks_file_sees_what_is_written_in_place);
    RUN(truncating_the_disks_file_is_seen_by_its_readers);
    RUN(another_file_of_the_name_is_not_opened_for_it);
    RUN(a_copy_into_memory_is_of_the_file_that_was_meant);
    RUN(a_file_goes_with_all_its_names);
    RUN(somebody_else_keeps_it_in_memory_and_what_is_written_then_is_put);
    RUN(a_file_that_could_not_be_led_to_the_disk_is_put_again);
    RUN(nobody_leads_a_file_without_a_name_away_from_who_stands_aside);
    RUN(no_line_of_parallel_writers_is_lost_wherever_the_file_is);
    RUN(no_reader_is_left_behind_with_the_past);
    return 0;
}
