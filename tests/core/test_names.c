/* test_names.c - names, links and paths: what POSIX says and what the kernel answers. */
#include "both.h"

#define NAME_48 "123456789012345678901234567890123456789012345678"
#define NAME_51 NAME_48 "abc"
#define NAME_255 NAME_51 NAME_51 NAME_51 NAME_51 NAME_51
#define NAME_256 NAME_255 "x"

static void names_of_every_length_are_kept_apart(void)
{
    SCRIPT({WRITE, NAME_48, "48", O_WRONLY, 0644}, {WRITE, NAME_51, "51", O_WRONLY, 0644},
           {WRITE, NAME_48 "abd", "other", O_WRONLY, 0644},
           {WRITE, NAME_255, "255", O_WRONLY, 0644}, {WRITE, NAME_256, "256", O_WRONLY, 0644},
           {MKDIR, NAME_256, NULL, 0, 0755}, {RENAME, NAME_255, NAME_256, 0, 0},
           {RENAME, NAME_48, NAME_255, 0, 0}, {UNLINK, NAME_51, NULL, 0, 0},
           {STAT, NAME_51, NULL, 0, 0}, {STAT, NAME_256, NULL, 0, 0},
           {WRITE, "d/../f", "x", 1, 0644}, {MKDIR, NAME_51, NULL, 0, 0755},
           {WRITE, NAME_51 "/" NAME_51, "in", O_WRONLY, 0600});
}

static void directories_are_made_and_removed_as_the_kernel_does(void)
{
    SCRIPT({MKDIR, "d", NULL, 0, 0755}, {MKDIR, "d", NULL, 0, 0755}, {MKDIR, "d/e", NULL, 0, 0700},
           {MKDIR, "no/e", NULL, 0, 0755}, {MKDIR, "slash/", NULL, 0, 0777},
           {WRITE, "f", "text", O_WRONLY, 0644}, {MKDIR, "f", NULL, 0, 0755},
           {MKDIR, "f/g", NULL, 0, 0755}, {RMDIR, "f", NULL, 0, 0}, {RMDIR, "f/", NULL, 0, 0},
           {RMDIR, "d", NULL, 0, 0}, {RMDIR, "no", NULL, 0, 0}, {RMDIR, "d/.", NULL, 0, 0},
           {RMDIR, "d/..", NULL, 0, 0}, {RMDIR, "d/e/", NULL, 0, 0}, {RMDIR, "d", NULL, 0, 0},
           {UNLINK, "slash", NULL, 0, 0}, {UNLINK, "slash/", NULL, 0, 0},
           {UNLINK, "f/", NULL, 0, 0}, {UNLINK, "no/", NULL, 0, 0}, {UNLINK, "no", NULL, 0, 0},
           {UNLINK, "f", NULL, 0, 0});
}

static void hard_links_share_everything_but_the_name(void)
{
    SCRIPT({WRITE, "a", "one", O_WRONLY, 0640}, {MKDIR, "d", NULL, 0, 0755}, {LINK, "a", "b", 0, 0},
           {LINK, "a", "d/c", 0, 0}, {LINK, "a", "b", 0, 0}, {LINK, "d", "e", 0, 0},
           {LINK, "no", "e", 0, 0}, {LINK, "a", "no/e", 0, 0},
           {WRITE, "b", "two and more", O_WRONLY | O_TRUNC, 0}, {READ, "d/c", NULL, 0, 0},
           {CHMOD, "d/c", NULL, 0, 0600}, {UNLINK, "a", NULL, 0, 0}, {RENAME, "b", "d/c", 0, 0},
           {STAT, "b", NULL, 0, 0}, {UNLINK, "b", NULL, 0, 0}, {READ, "d/c", NULL, 0, 0},
           {LINK, "d/c", "a/", 0, 0}, {LINK, "d/c/", "a", 0, 0}, {UNLINK, "d/c", NULL, 0, 0});
}

static void rename_replaces_what_it_may_and_refuses_the_rest(void)
{
    SCRIPT({WRITE, "f", "file", O_WRONLY, 0644}, {WRITE, "g", "other", O_WRONLY, 0600},
           {MKDIR, "d", NULL, 0, 0755}, {MKDIR, "d/sub", NULL, 0, 0755},
           {MKDIR, "e", NULL, 0, 0755}, {WRITE, "e/in", "inside", O_WRONLY, 0644},
           {RENAME, "f", "f", 0, 0}, {RENAME, "d", "d", 0, 0}, {RENAME, "d", "d/sub/x", 0, 0},
           {RENAME, "d", "d/sub", 0, 0}, {RENAME, "d/sub", "d", 0, 0}, {RENAME, "f", "d", 0, 0},
           {RENAME, "d", "f", 0, 0}, {RENAME, "d", "e", 0, 0}, {RENAME, "e", "d/sub", 0, 0},
           {READ, "d/sub/in", NULL, 0, 0}, {RENAME, "f", "g", 0, 0}, {RENAME, "no", "g", 0, 0},
           {RENAME, "g", "no/g", 0, 0}, {RENAME, "g/", "h", 0, 0}, {RENAME, "g", "h/", 0, 0},
           {RENAME, "d/", "h/", 0, 0}, {RENAME, "h/.", "i", 0, 0}, {RENAME, "h", "h/..", 0, 0},
           {RENAME_NOREPLACE_, "g", "h", 0, 0}, {RENAME_NOREPLACE_, "g", "fresh", 0, 0},
           {RENAME_NOREPLACE_, "fresh", "fresh", 0, 0}, {RENAME, "h/sub/in", "in", 0, 0},
           {RMDIR, "h/sub", NULL, 0, 0}, {RENAME, "h", "in", 0, 0}, {RENAME, "in", "h/in", 0, 0});
}

static void symlinks_lead_where_they_say(void)
{
    SCRIPT({MKDIR, "d", NULL, 0, 0755}, {WRITE, "d/f", "bytes", O_WRONLY, 0644},
           {SYMLINK, "l", "d", 0, 0}, {SYMLINK, "m", "d/f", 0, 0},
           {SYMLINK, "up", "d/../d/./f", 0, 0}, {SYMLINK, "d/back", "../d/f", 0, 0},
           {SYMLINK, "dangling", "nowhere", 0, 0}, {SYMLINK, "slashed", "d/", 0, 0},
           {SYMLINK, "l", "again", 0, 0}, {SYMLINK, "e", "", 0, 0}, {SYMLINK, "no/l", "d", 0, 0},
           {SYMLINK, "x/", "d", 0, 0}, {READ, "l/f", NULL, 0, 0}, {READ, "m", NULL, 0, 0},
           {READ, "up", NULL, 0, 0}, {READ, "l/back", NULL, 0, 0}, {READ, "dangling", NULL, 0, 0},
           {STAT, "l", NULL, 0, 0}, {LSTAT, "l", NULL, 0, 0}, {LSTAT, "l/", NULL, 0, 0},
           {LSTAT, "m/", NULL, 0, 0}, {STAT, "dangling", NULL, 0, 0},
           {READ, "slashed/f", NULL, 0, 0}, {OPEN, "m", NULL, O_RDONLY | O_NOFOLLOW, 0},
           {OPEN, "l", NULL, O_DIRECTORY, 0}, {OPEN, "l", NULL, O_DIRECTORY | O_NOFOLLOW, 0},
           {READLINK, "l", NULL, 0, 0}, {READLINK, "l/", NULL, 0, 0}, {READLINK, "d/f", NULL, 0, 0},
           {WRITE, "dangling", "made through", O_WRONLY, 0644}, {READ, "nowhere", NULL, 0, 0},
           {WRITE, "m", "x", O_WRONLY | O_EXCL, 0644}, {LINK, "l", "hard", 0, 0},
           {READLINK, "hard", NULL, 0, 0}, {CHMOD, "m", NULL, 0, 0600}, {RENAME, "l", "l2", 0, 0},
           {RENAME, "l2", "m", 0, 0}, {UNLINK, "m", NULL, 0, 0}, {UNLINK, "hard", NULL, 0, 0});
}

static void a_slash_after_a_symlink_does_not_reach_through_it_where_names_are_changed(void)
{
    SCRIPT({MKDIR, "d", NULL, 0, 0755}, {SYMLINK, "l", "d", 0, 0},
           {SYMLINK, "dangling", "nowhere", 0, 0}, {WRITE, "f", "f", O_WRONLY, 0644},
           {RMDIR, "l/", NULL, 0, 0}, {UNLINK, "l/", NULL, 0, 0}, {MKDIR, "l/", NULL, 0, 0755},
           {MKDIR, "dangling/", NULL, 0, 0755}, {RENAME, "l/", "x", 0, 0},
           {RENAME, "d", "dangling/", 0, 0}, {RENAME, "d", "l/", 0, 0}, {RENAME, "f", "l/", 0, 0},
           {SYMLINK, "l/", "t", 0, 0}, {SYMLINK, "dangling/", "t", 0, 0}, {LINK, "f", "l/", 0, 0},
           {MKFIFO, "l/", NULL, 0, 0644}, {RMDIR, "dangling/", NULL, 0, 0});
}

/* A chain of `count` symlinks to a file, then one look. */
static long through_links(int count)
{
    char name[20], target[20];
    const struct step file = {WRITE, "0", "end", O_WRONLY, 0644};
    bench_open();
    do_both(&file);
    for (int i = 1; i <= count; i++) {
        snprintf(name, sizeof name, "%d", i);
        snprintf(target, sizeof target, "%d", i - 1);
        const struct step link = {SYMLINK, name, target, 0, 0};
        CHECK_EQ(do_both(&link), 0);
    }
    const struct step read = {READ, name, NULL, 0, 0};
    const long answer = do_both(&read);
    bench_close();
    return answer;
}

static void forty_links_are_followed_and_not_one_more(void)
{
    CHECK(through_links(40) > 0);
    CHECK_EQ(through_links(41), -ELOOP);
    SCRIPT({SYMLINK, "self", "self", 0, 0}, {READ, "self", NULL, 0, 0},
           {STAT, "self/x", NULL, 0, 0}, {SYMLINK, "a", "b", 0, 0}, {SYMLINK, "b", "a", 0, 0},
           {WRITE, "a", "x", O_WRONLY, 0644}, {LSTAT, "a", NULL, 0, 0});
}

static void targets_of_up_to_4095_bytes_are_kept_and_followed(void)
{
    static char target[4097];
    bench_open();
    const struct step file = {WRITE, "f", "there", O_WRONLY, 0644};
    do_both(&file);
    for (size_t length = 4093; length <= 4096; length++) {
        char name[20];
        memset(target, '/', length); /* .////f */
        target[0] = '.';
        target[length - 1] = 'f';
        target[length] = 0;
        snprintf(name, sizeof name, "l%zu", length);
        const struct step link = {SYMLINK, name, target, 0, 0}, read = {READ, name, NULL, 0, 0},
                          snapshot = {READLINK, name, NULL, 0, 0},
                          away = {UNLINK, name, NULL, 0, 0};
        do_both(&link);
        do_both(&snapshot);
        do_both(&read);
        if (length == 4094)
            do_both(&away);
    }
    trees_equal();
    bench_close();
}

static void a_text_of_4096_bytes_is_too_long_whatever_it_says(void)
{
    static char name[5000];
    bench_open();
    const struct step file = {WRITE, "f", "there", O_WRONLY, 0644};
    do_both(&file);
    for (size_t i = 0; i < sizeof name - 1; i++)
        name[i] = i % 2 == 0 ? '.' : '/';
    name[4500] = 'f';
    name[4501] = 0;
    const struct step far = {STAT, name, NULL, 0, 0};
    CHECK_EQ(do_both(&far), -ENAMETOOLONG);
    name[3000] = 'f';
    name[3001] = 0;
    CHECK(do_both(&far) > 0);
    bench_close();
}

static void two_dots_leave_the_hosted_directory_and_come_back(void)
{
    struct velo_place place;
    bench_open();
    hosted_write("build/f", "bytes");
    CHECK_EQ(walk_to("build/..", 0, &place), 0);
    CHECK_EQ(place.at.kind, VELO_OUTSIDE);
    CHECK_EQ(strcmp(place.text.path, bench.workspace), 0);
    CHECK_EQ(walk_to("build/../plain/x", 0, &place), 0);
    CHECK_EQ(place.at.kind, VELO_OUTSIDE);
    CHECK_EQ(strcmp(place.text.path, in_workspace("plain/x")), 0);
    CHECK(hosted_says("plain/../build/./../build//f", "bytes"));
    CHECK_EQ(walk_to("building/f", 0, &place), 0);
    CHECK_EQ(place.at.kind, VELO_OUTSIDE);
    CHECK_EQ(hosted_mkdir("build/d"), 0);
    CHECK(hosted_says("build/d/../f", "bytes"));
    CHECK_EQ(walk_to("build/no/../f", 0, &place), -ENOENT);
    CHECK_EQ(walk_to("build/f/../f", 0, &place), -ENOTDIR);
    bench_close();
}

static void symlinks_lead_across_both_ways(void)
{
    struct velo_place place;
    bench_open();
    hosted_write("build/f", "hosted");
    const int fd = open(in_workspace("plain/g"), O_WRONLY | O_CREAT, 0644);
    write_all(fd, "plain");
    close(fd);
    CHECK_EQ(walk_to("build/out", VELO_WALK_NOFOLLOW, &place), 0);
    CHECK_EQ(velo_symlink(&bench.region, "../plain", &place), 0);
    CHECK_EQ(walk_to("build/far", VELO_WALK_NOFOLLOW, &place), 0);
    CHECK_EQ(velo_symlink(&bench.region, in_workspace("build"), &place), 0);

    CHECK(hosted_says("build/out/g", "plain"));
    CHECK(hosted_says("build/far/f", "hosted"));
    CHECK(hosted_says("build/far/far/out/../build/f", "hosted"));
    CHECK_EQ(walk_to("build/out/..", 0, &place), 0);
    CHECK_EQ(place.at.kind, VELO_OUTSIDE);
    bench_close();
}

static void a_directory_moves_with_everything_below_it(void)
{
    bench_open();
    CHECK_EQ(hosted_mkdir("build/a"), 0);
    CHECK_EQ(hosted_mkdir("build/a/b"), 0);
    hosted_write("build/a/b/f", "deep");
    struct velo_place before;
    CHECK_EQ(walk_to("build/a/b/g", 0, &before), 0);
    const int deep = hosted_open("build/a/b", O_RDONLY | O_DIRECTORY, 0);
    CHECK(deep >= 0);

    CHECK_EQ(hosted_rename("build/a", "build/z"), 0);

    CHECK(hosted_says("build/z/b/f", "deep"));
    struct stat st;
    CHECK_EQ(hosted_stat("build/a/b/f", &st), -ENOENT);
    /* Who walked before the move creates where the directory is now. */
    const int fd = velo_open(&bench.region, &before, O_WRONLY | O_CREAT, 0644);
    CHECK(fd >= 0);
    close(fd);
    CHECK_EQ(hosted_stat("build/z/b/g", &st), 0);
    flush_everything();
    CHECK(disk_says("build/z/b/f", "deep"));
    CHECK_EQ(faccessat(deep, "g", F_OK, 0), 0);
    close(deep);
    bench_close();
}

static void a_listing_has_every_name_once(void)
{
    enum { COUNT = 3000 };
    static unsigned char seen[COUNT];
    char name[96];
    bench_open();
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "build/%s%d", i % 7 == 0 ? NAME_48 : "n", i);
        const int fd = hosted_open(name, O_WRONLY | O_CREAT | O_EXCL, 0644);
        CHECK(fd >= 0);
        close(fd);
    }
    DIR *dir = NULL; /* put on disk, so that the kernel's own listing can be the judge */
    flush_everything();
    CHECK((dir = opendir(in_workspace("build"))) != NULL);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        const char *digits = entry->d_name + strlen(entry->d_name);
        while (digits > entry->d_name && digits[-1] >= '0' && digits[-1] <= '9')
            digits--;
        const int skip = strncmp(entry->d_name, NAME_48, 48) == 0;
        seen[atoi(skip ? entry->d_name + 48 : digits)]++;
    }
    closedir(dir);
    for (int i = 0; i < COUNT; i++)
        CHECK_EQ(seen[i], 1);
    for (int i = 0; i < COUNT; i += 2) {
        snprintf(name, sizeof name, "build/%s%d", i % 7 == 0 ? NAME_48 : "n", i);
        CHECK_EQ(hosted_unlink(name), 0);
    }
    struct velo_place root;
    CHECK_EQ(walk_to("build", 0, &root), 0);
    bench_close();
}

static void many_names_of_one_file_are_written_back_and_linked(void)
{
    enum { COUNT = 700 }; /* more than the undo log has room for if each cost one note */
    char name[64];
    bench_open();
    hosted_write("build/f", "shared");
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "build/l%d", i);
        CHECK_EQ(hosted_link("build/f", name), 0);
    }
    flush_everything();
    struct stat st;
    CHECK_EQ(lstat(in_workspace("build/f"), &st), 0);
    CHECK_EQ(st.st_nlink, COUNT + 1);
    CHECK_EQ(stat_at("build/f").st_nlink, COUNT + 1);
    CHECK_EQ(velo_evict(&bench.region, node_at("build/f")), 0);
    struct velo_place place;
    CHECK_EQ(walk_to("build/l3", 0, &place), 0);
    CHECK_EQ(velo_chmod(&bench.region, &place, 0600), 0);
    CHECK_EQ(stat_at("build/f").st_mode, S_IFREG | 0600);
    CHECK_EQ(reconcile().changed, 0);
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "build/l%d", i);
        CHECK_EQ(hosted_unlink(name), 0);
    }
    CHECK_EQ(stat_at("build/f").st_nlink, 1);
    CHECK(hosted_says("build/f", "shared"));
    bench_close();
}

static void special_files_are_the_kernels(void)
{
    SCRIPT({MKFIFO, "p", NULL, 0, 0644}, {MKFIFO, "p", NULL, 0, 0644}, {LSTAT, "p", NULL, 0, 0},
           {OPEN, "p", NULL, O_RDONLY | O_NONBLOCK, 0}, {OPEN, "p", NULL, O_WRONLY | O_NONBLOCK, 0},
           {RENAME, "p", "q", 0, 0}, {WRITE, "f", "f", O_WRONLY, 0644}, {RENAME, "f", "q", 0, 0},
           {READ, "q", NULL, 0, 0}, {MKFIFO, "r/", NULL, 0, 0644}, {UNLINK, "q", NULL, 0, 0});
}

int main(void)
{
    RUN(names_of_every_length_are_kept_apart);
    RUN(directories_are_made_and_removed_as_the_kernel_does);
    RUN(hard_links_share_everything_but_the_name);
    RUN(rename_replaces_what_it_may_and_refuses_the_rest);
    RUN(symlinks_lead_where_they_say);
    RUN(a_slash_after_a_symlink_does_not_reach_through_it_where_names_are_changed);
    RUN(forty_links_are_followed_and_not_one_more);
    RUN(targets_of_up_to_4095_bytes_are_kept_and_followed);
    RUN(a_text_of_4096_bytes_is_too_long_whatever_it_says);
    RUN(two_dots_leave_the_hosted_directory_and_come_back);
    RUN(symlinks_lead_across_both_ways);
    RUN(a_directory_moves_with_everything_below_it);
    RUN(a_listing_has_every_name_once);
    RUN(many_names_of_one_file_are_written_back_and_linked);
    RUN(special_files_are_the_kernels);
    return 0;
}
