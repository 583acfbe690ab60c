/* test_open.c - open and its flags, who may do what, files that are unlinked while open. */
#include "both.h"

#include "core/arena/layout.h"

#include <grp.h>
#include <sys/mman.h>

static void flags_mean_what_they_mean_to_the_kernel(void)
{
    SCRIPT({OPEN, "f", NULL, O_RDONLY, 0}, {OPEN, "f", NULL, O_RDONLY | O_CREAT, 0640},
           {OPEN, "f", NULL, O_WRONLY | O_CREAT | O_EXCL, 0644}, {WRITE, "f", "first", O_WRONLY, 0},
           {WRITE, "f", "2", O_WRONLY, 0}, {WRITE, "f", " more", O_WRONLY | O_APPEND, 0},
           {READ, "f", NULL, 0, 0}, {WRITE, "f", "cut", O_RDWR | O_TRUNC, 0},
           {READ, "f", NULL, 0, 0}, {OPEN, "f", NULL, O_RDONLY | O_TRUNC, 0},
           {STAT, "f", NULL, 0, 0}, {OPEN, "f/", NULL, O_RDONLY, 0},
           {OPEN, "f", NULL, O_RDONLY | O_DIRECTORY, 0},
           {OPEN, "new/", NULL, O_WRONLY | O_CREAT, 0644}, {MKDIR, "d", NULL, 0, 0755},
           {OPEN, "d", NULL, O_RDONLY, 0}, {OPEN, "d", NULL, O_WRONLY, 0},
           {OPEN, "d", NULL, O_RDONLY | O_CREAT, 0644}, {OPEN, "d/", NULL, O_DIRECTORY, 0},
           {OPEN, "d/no/f", NULL, O_WRONLY | O_CREAT, 0644},
           {OPEN, "f/g", NULL, O_WRONLY | O_CREAT, 0644}, {OPEN, "d/.", NULL, O_RDONLY, 0},
           {OPEN, "f", NULL, O_PATH, 0}, {OPEN, "f", NULL, O_PATH | O_DIRECTORY, 0},
           {OPEN, "x", NULL, O_RDWR | O_CREAT | O_SYNC | O_NOCTTY, 04755}, {STAT, "x", NULL, 0, 0},
           {OPEN, "n", NULL, O_RDONLY | O_CREAT | O_NOFOLLOW, 0600},
           {OPEN, "odd", NULL, O_CREAT | O_DIRECTORY, 0600},
           {OPEN, "f", NULL, O_CREAT | O_DIRECTORY, 0600});
}

static void attributes_change_as_the_kernel_changes_them(void)
{
    SCRIPT({WRITE, "f", "0123456789", O_WRONLY, 0666}, {CHMOD, "f", NULL, 0, 0},
           {CHMOD, "f", NULL, 0, 07777}, {WRITE, "f", "x", O_WRONLY, 0},
           {TRUNCATE, "f", NULL, 0, 3}, {TRUNCATE, "f", NULL, 0, 5000}, {READ, "f", NULL, 0, 0},
           {TRUNCATE, "no", NULL, 0, 3}, {TRUNCATE, "f/", NULL, 0, 3}, {MKDIR, "d", NULL, 0, 0777},
           {TRUNCATE, "d", NULL, 0, 3}, {CHMOD, "d", NULL, 0, 01777}, {CHMOD, "no", NULL, 0, 0777},
           {ACCESS, "f", NULL, 0, R_OK}, {ACCESS, "f", NULL, 0, X_OK}, {CHMOD, "f", NULL, 0, 0644},
           {ACCESS, "f", NULL, 0, X_OK}, {ACCESS, "d", NULL, 0, W_OK | X_OK},
           {ACCESS, "no", NULL, 0, F_OK}, {SYMLINK, "l", "f", 0, 0}, {SYMLINK, "gone", "no", 0, 0},
           {ACCESS, "gone", NULL, 0, F_OK}, {CHMOD, "l", NULL, 0, 0600},
           {CHMOD, "gone", NULL, 0, 0600});
}

/* Put, evict and load between the steps: the same answers whatever the state of the file. */
static void flags_mean_the_same_for_a_file_on_disk(void)
{
    static const struct step steps[] = {
        {WRITE, "f", "2", O_WRONLY, 0},
        {WRITE, "f", " more", O_WRONLY | O_APPEND, 0},
        {READ, "f", NULL, 0, 0},
        {WRITE, "f", "cut", O_RDWR | O_TRUNC, 0},
        {OPEN, "f", NULL, O_RDONLY | O_TRUNC, 0},
        {CHMOD, "f", NULL, 0, 0750},
        {TRUNCATE, "f", NULL, 0, 70000},
        {CHOWN, "f", NULL, 0, 0},
        {LINK, "f", "g", 0, 0},
        {WRITE, "g", "both", O_WRONLY | O_TRUNC, 0},
        {RENAME, "f", "h", 0, 0},
        {WRITE, "h", "one", O_WRONLY | O_TRUNC, 0},
        {UNLINK, "g", NULL, 0, 0},
        {OPEN, "h", NULL, O_WRONLY | O_EXCL | O_CREAT, 0},
    };
    const struct step first = {WRITE, "f", "first", O_WRONLY, 0644};
    bench_open();
    do_both(&first);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        flush_everything();
        refresh_everything();
        const struct velo_node_info info = info_at(i <= 10 ? "build/f" : "build/h");
        CHECK_EQ(info.dirty_disk, 0);
        if (info.state == VELO_BACKED)
            CHECK_EQ(velo_evict(&bench.region, info.node), 0);
        do_both(&steps[i]);
        trees_equal();
        bench_check();
    }
    bench_close();
}

static void an_unlinked_file_lives_while_it_is_open(void)
{
    struct stat st;
    bench_open();
    const int fd = hosted_open("build/f", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    write_all(fd, "still here");
    const velo_node_id node = node_at("build/f");
    const uint64_t inode = stat_at("build/f").st_ino;

    CHECK_EQ(hosted_unlink("build/f"), 0);

    CHECK_EQ(hosted_stat("build/f", &st), -ENOENT);
    CHECK(fd_says(fd, "still here"));
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(velo_fstat_fix(&bench.region, &st), 1);
    CHECK_EQ(st.st_nlink, 0);
    CHECK_EQ(st.st_ino, inode);
    CHECK_EQ(velo_refresh_attributes(&bench.region, node), 0);
    CHECK(charged_bytes() > 0);
    hosted_write("build/f", "another");
    CHECK(fd_says(fd, "still here"));
    bench_check();
    close(fd);
    CHECK_EQ(velo_refresh_attributes(&bench.region, node), 1);
    CHECK_EQ(velo_refresh_attributes(&bench.region, node), 0);
    bench_check();
    CHECK(hosted_says("build/f", "another"));
    bench_close();
}

static void a_mapping_keeps_an_unlinked_file(void)
{
    bench_open();
    const int fd = hosted_open("build/f", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    write_all(fd, "mapped");
    char *map = mmap(NULL, 6, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(map != MAP_FAILED);
    close(fd);
    const velo_node_id node = node_at("build/f");
    flush_everything();
    CHECK_EQ(info_at("build/f").dirty_disk, 1); /* who maps it may still write */
    CHECK_EQ(velo_evict(&bench.region, node), -EBUSY);
    CHECK_EQ(hosted_unlink("build/f"), 0);
    CHECK_EQ(velo_refresh_attributes(&bench.region, node), 0);
    CHECK(memcmp(map, "mapped", 6) == 0);
    munmap(map, 6);
    CHECK_EQ(velo_refresh_attributes(&bench.region, node), 1);
    bench_close();
}

static void a_replaced_file_lives_while_it_is_open(void)
{
    struct stat st;
    bench_open();
    hosted_write("build/old", "old bytes");
    hosted_write("build/new", "new bytes");
    const int fd = hosted_open("build/old", O_RDONLY | O_CLOEXEC, 0);
    CHECK_EQ(hosted_rename("build/new", "build/old"), 0);
    CHECK(fd_says(fd, "old bytes"));
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(velo_fstat_fix(&bench.region, &st), 1);
    CHECK_EQ(st.st_nlink, 0);
    CHECK(hosted_says("build/old", "new bytes"));
    close(fd);
    refresh_everything();
    bench_close();
}

static void a_descriptor_and_its_path_are_one_file_in_every_state(void)
{
    bench_open();
    hosted_write("build/f", "same");
    const uint64_t inode = stat_at("build/f").st_ino;
    for (int round = 0; round < 3; round++) {
        struct stat st;
        const int fd = hosted_open("build/f", O_RDONLY | O_CLOEXEC, 0);
        CHECK_EQ(fstat(fd, &st), 0);
        CHECK_EQ(velo_fstat_fix(&bench.region, &st), 1);
        const struct stat by_path = stat_at("build/f");
        CHECK_EQ(st.st_ino, inode);
        CHECK_EQ(by_path.st_ino, inode);
        CHECK_EQ(st.st_dev, by_path.st_dev);
        CHECK_EQ(st.st_size, by_path.st_size);
        CHECK_EQ(st.st_mtim.tv_nsec, by_path.st_mtim.tv_nsec);
        CHECK_EQ(st.st_ctim.tv_nsec, by_path.st_ctim.tv_nsec);
        close(fd);
        flush_everything();
        if (round == 1)
            CHECK_EQ(velo_evict(&bench.region, node_at("build/f")), 0);
    }
    bench_close();
}

/* ---- another user ---------------------------------------------------------------------------- */

#define STRANGER 65534

static void as_stranger(const struct step *steps, size_t count)
{
    const pid_t child = fork();
    if (child == 0) {
        /* the kernel's side needs real ids too: setresuid changes all but the saved */
        if (setgroups(0, NULL) != 0 || setresgid(STRANGER, STRANGER, 0) != 0 ||
            setresuid(STRANGER, STRANGER, 0) != 0)
            _exit(2);
        for (size_t i = 0; i < count; i++)
            do_both(&steps[i]);
        _exit(0);
    }
    CHECK(child_ended_well(child));
    bench_check();
    trees_equal();
}

static void a_stranger_may_do_what_the_modes_say(void)
{
    static const struct step owner[] = {
        {MKDIR, "closed", NULL, 0, 0700},
        {WRITE, "closed/f", "f", O_WRONLY, 0666},
        {MKDIR, "readable", NULL, 0, 0755},
        {WRITE, "readable/f", "f", O_WRONLY, 0644},
        {WRITE, "readable/secret", "s", O_WRONLY, 0600},
        {MKDIR, "readable/d", NULL, 0, 0755},
        {MKDIR, "open", NULL, 0, 0755},
        {CHMOD, "open", NULL, 0, 0777},
        {WRITE, "open/f", "f", O_WRONLY, 0644},
        {WRITE, "open/w", "w", O_WRONLY, 0644},
        {CHMOD, "open/w", NULL, 0, 0666},
        {MKDIR, "sticky", NULL, 0, 0755},
        {CHMOD, "sticky", NULL, 0, 01777},
        {WRITE, "sticky/f", "f", O_WRONLY, 0666},
        {WRITE, "sticky/theirs", "t", O_WRONLY, 0644},
        {CHOWN, "sticky/theirs", NULL, 0, STRANGER},
        {WRITE, "program", "#!/bin/sh\n", O_WRONLY, 0755},
        {MKDIR, "sticky/d", NULL, 0, 0777},
        {SYMLINK, "sticky/l", "f", 0, 0},
    };
    static const struct step stranger[] = {
        {READ, "closed/f", NULL, 0, 0},
        {STAT, "closed/f", NULL, 0, 0},
        {STAT, "closed", NULL, 0, 0},
        {STAT, "closed/no", NULL, 0, 0},
        {WRITE, "closed/g", "g", O_WRONLY, 0644},
        {READ, "readable/f", NULL, 0, 0},
        {READ, "readable/secret", NULL, 0, 0},
        {WRITE, "readable/f", "x", O_WRONLY, 0},
        {WRITE, "readable/g", "x", O_WRONLY, 0644},
        {UNLINK, "readable/f", NULL, 0, 0},
        {RENAME, "readable/f", "open/x", 0, 0},
        {RENAME, "open/f", "readable/x", 0, 0},
        {RENAME, "open/f", "readable/f", 0, 0},
        {LINK, "open/w", "readable/x", 0, 0},
        {MKDIR, "readable/e", NULL, 0, 0755},
        {RMDIR, "readable/d", NULL, 0, 0},
        {SYMLINK, "readable/l", "f", 0, 0},
        {MKFIFO, "readable/p", NULL, 0, 0644},
        {CHMOD, "open/f", NULL, 0, 0777},
        {CHOWN, "open/f", NULL, 0, STRANGER},
        {CHMOD, "open", NULL, 0, 0700},
        {WRITE, "open/w", "longer", O_WRONLY, 0},
        {WRITE, "open/mine", "m", O_WRONLY, 0640},
        {CHMOD, "open/mine", NULL, 0, 0600},
        {MKDIR, "open/d", NULL, 0, 0750},
        {ACCESS, "open/f", NULL, 0, W_OK},
        {ACCESS, "open/w", NULL, 0, W_OK},
        {ACCESS, "readable/secret", NULL, 0, R_OK},
        {TRUNCATE, "open/f", NULL, 0, 0},
        {UNLINK, "open/f", NULL, 0, 0},
        {UNLINK, "sticky/f", NULL, 0, 0},
        {RENAME, "sticky/f", "sticky/g", 0, 0},
        {RENAME, "open/w", "sticky/f", 0, 0},
        {RMDIR, "sticky/d", NULL, 0, 0},
        {UNLINK, "sticky/l", NULL, 0, 0},
        {RENAME, "sticky/theirs", "sticky/ours", 0, 0},
        {UNLINK, "sticky/ours", NULL, 0, 0},
        {WRITE, "sticky/new", "n", O_WRONLY, 0644},
        {RENAME, "sticky/d", "sticky/f", 0, 0},
        {RENAME, "sticky/new", "sticky/d", 0, 0},
        {ACCESS, "program", NULL, 0, X_OK},
        {ACCESS, "program", NULL, 0, W_OK},
        {OPEN, "readable", NULL, O_RDONLY, 0},
        {OPEN, "closed", NULL, O_RDONLY, 0},
    };
    if (geteuid() != 0) {
        printf("    skipped: only root can become a stranger\n");
        return;
    }
    for (int on_disk = 0; on_disk < 2; on_disk++) {
        bench_open();
        for (size_t i = 0; i < sizeof owner / sizeof owner[0]; i++)
            do_both(&owner[i]);
        if (on_disk)
            flush_everything();
        as_stranger(stranger, sizeof stranger / sizeof stranger[0]);
        flush_everything();
        CHECK_EQ(reconcile().changed, 0);
        trees_equal();
        bench_close();
    }
}

static void the_set_group_bit_passes_the_group_on(void)
{
    if (geteuid() != 0)
        return;
    SCRIPT({MKDIR, "d", NULL, 0, 0755}, {CHOWN, "d", NULL, 0, 4242}, {CHMOD, "d", NULL, 0, 02775},
           {WRITE, "d/f", "f", O_WRONLY, 0644}, {MKDIR, "d/e", NULL, 0, 0755},
           {WRITE, "d/e/g", "g", O_WRONLY, 0644}, {SYMLINK, "d/l", "f", 0, 0});
}

/* Everything of a bench by a user who is not root, as far as this one may become one. */
static void as_a_user(void (*test)(void))
{
    const pid_t child = fork();
    if (child == 0) {
        if (geteuid() == 0 && (setgroups(0, NULL) != 0 || setgid(12345) != 0 || setuid(12345) != 0))
            _exit(1);
        test();
        exit(0);
    }
    CHECK(child_ended_well(child));
}

static mode_t disk_mode(const char *name)
{
    struct stat st;
    CHECK_EQ(lstat(in_workspace(name), &st), 0);
    return st.st_mode & 07777;
}

static int hosted_chmod(const char *relative, mode_t mode)
{
    struct velo_place place;
    const int rc = walk_to(relative, 0, &place);
    return rc != 0 ? rc : velo_chmod(&bench.region, &place, mode);
}

static void writeback_into_a_closed_directory(void)
{
    static const mode_t modes[] = {0555, 0111, 0500};
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        struct stat disk;
        bench_open();
        CHECK_EQ(hosted_mkdir("build/d"), 0);
        hosted_write("build/d/f", "first");
        CHECK_EQ(hosted_link("build/d/f", "build/d/g"), 0);
        CHECK_EQ(hosted_chmod("build/d", modes[i]), 0);

        flush_everything();
        CHECK(disk_says("build/d/f", "first"));
        CHECK(disk_says("build/d/g", "first"));
        CHECK_EQ(disk_mode("build/d"), modes[i]);
        hosted_write("build/d/f", "second");
        flush_everything();
        CHECK(disk_says("build/d/g", "second"));
        CHECK_EQ(disk_mode("build/d"), modes[i]);
        CHECK_EQ(lstat(in_workspace("build/d"), &disk), 0);
        CHECK_EQ(disk.st_mtim.tv_nsec, stat_at("build/d").st_mtim.tv_nsec);
        CHECK_EQ(hosted_open("build/d/new", O_WRONLY | O_CREAT, 0644),
                 geteuid() == 0 ? 0 : -EACCES);
        CHECK_EQ(reconcile().changed, 0);
        CHECK_EQ(hosted_chmod("build/d", 0755), 0);
        bench_close();
    }
}

static void a_file_reaches_a_directory_that_was_made_read_only(void)
{
    as_a_user(writeback_into_a_closed_directory);
}

static void be_killed_with_a_directory_open(void)
{
    bench_open();
    CHECK_EQ(hosted_mkdir("build/d"), 0);
    CHECK_EQ(hosted_chmod("build/d", 0555), 0);
    CHECK_EQ(chmod(in_workspace("build/d"), 0755), 0); /* as velo does for a step */
    atomic_store(&bench.region.header->with_rights, node_at("build/d"));

    CHECK_EQ(hosted_mkdir("build/other"), 0); /* whoever comes next */

    CHECK_EQ(disk_mode("build/d"), 0555);
    CHECK_EQ(reconcile().changed, 0);
    CHECK_EQ(hosted_chmod("build/d", 0755), 0);
    bench_close();
}

static void a_killed_writer_leaves_no_directory_open(void)
{
    as_a_user(be_killed_with_a_directory_open);
}

static void a_mode_is_true_even_if_who_changed_it_was_killed_then(void)
{
    bench_open();
    hosted_write("build/f", "x");
    refresh_everything();
    const int fd = hosted_open("build/f", O_RDONLY | O_CLOEXEC, 0);

    const pid_t child = fork();
    if (child == 0) {
        CHECK_EQ(velo_descriptor_changing(&bench.region, fd), 1);
        CHECK_EQ(fchmod(fd, 0600), 0);
        _exit(0); /* killed before it could say so */
    }
    CHECK(child_ended_well(child));

    CHECK_EQ(stat_at("build/f").st_mode & 07777, 0600);
    close(fd);
    flush_everything();
    CHECK_EQ(disk_mode("build/f"), 0600);
    bench_close();
}

int main(void)
{
    RUN(flags_mean_what_they_mean_to_the_kernel);
    RUN(attributes_change_as_the_kernel_changes_them);
    RUN(flags_mean_the_same_for_a_file_on_disk);
    RUN(an_unlinked_file_lives_while_it_is_open);
    RUN(a_mapping_keeps_an_unlinked_file);
    RUN(a_replaced_file_lives_while_it_is_open);
    RUN(a_descriptor_and_its_path_are_one_file_in_every_state);
    RUN(a_stranger_may_do_what_the_modes_say);
    RUN(the_set_group_bit_passes_the_group_on);
    RUN(a_file_reaches_a_directory_that_was_made_read_only);
    RUN(a_mode_is_true_even_if_who_changed_it_was_killed_then);
    RUN(a_killed_writer_leaves_no_directory_open);
    return 0;
}
