/* operations.h - files in every state, and what is done to them: the rows of test_kill_points.c. */
#ifndef VELO_TESTS_CORE_OPERATIONS_H
#define VELO_TESTS_CORE_OPERATIONS_H

#include "store.h"

#include "core/arena/layout.h"

#define NAME_60 "a-name-that-does-not-fit-into-a-slot-and-goes-on-in-chunks.."

/* ---- how files come into their state --------------------------------------------------------- */

static void in_memory(const char *name, const char *text)
{
    hosted_write(name, text);
}

static void on_disk_too(const char *name, const char *text)
{
    hosted_write(name, text);
    CHECK_EQ(velo_writeback(&bench.region, node_at(name), 0), 0);
    velo_refresh_attributes(&bench.region, node_at(name));
}

static void only_on_disk(const char *name, const char *text)
{
    on_disk_too(name, text);
    CHECK_EQ(velo_evict(&bench.region, node_at(name)), 0);
}

/* Memory is newer than the copy on disk. */
static void older_on_disk(const char *name, const char *text)
{
    on_disk_too(name, "older");
    hosted_write(name, text);
}

static void only_stored(const char *name, const char *text)
{
    hosted_write(name, text);
    CHECK_EQ(store_node(node_at(name)), 0);
    CHECK_EQ(velo_evict(&bench.region, node_at(name)), 0);
}

static struct velo_place placed(const char *name)
{
    struct velo_place place;
    CHECK_EQ(walk_to(name, VELO_WALK_NOFOLLOW, &place), 0);
    return place;
}

/* ---- operations ------------------------------------------------------------------------------ */

static void nothing(void)
{
}

static void create_file(void)
{
    const int fd = hosted_open("build/" NAME_60, O_WRONLY | O_CREAT | O_EXCL, 0755);
    CHECK(fd >= 0);
    close(fd);
}

static void put_whole_f(void)
{
    struct velo_place place;
    struct velo_whole whole;
    CHECK_EQ(walk_to("build/f", VELO_WALK_NOFOLLOW | VELO_WALK_LAST, &place), 0);
    CHECK_EQ(velo_whole_begin(&bench.region, &place, 0600, 5, &whole), 0);
    write_all(whole.fd, "whole");
    CHECK_EQ(velo_whole_end(&bench.region, &place, &whole, 0644, 1700000000000000000), 0);
}

static void make_directory(void)
{
    CHECK_EQ(hosted_mkdir("build/d"), 0);
}

static void long_link(void)
{
    char target[700];
    memset(target, 't', sizeof target - 1);
    target[sizeof target - 1] = 0;
    struct velo_place place = placed("build/l");
    CHECK_EQ(velo_symlink(&bench.region, target, &place), 0);
}

static void make_fifo(void)
{
    struct velo_place place = placed("build/p");
    CHECK_EQ(velo_mknod(&bench.region, &place, S_IFIFO | 0600, 0), 0);
}

static void remove_directory(void)
{
    struct velo_place place = placed("build/d");
    CHECK_EQ(velo_rmdir(&bench.region, &place), 0);
}

static void unlink_f(void)
{
    CHECK_EQ(hosted_unlink("build/f"), 0);
}

static void link_f_to_g(void)
{
    CHECK_EQ(hosted_link("build/f", "build/g"), 0);
}

static void rename_f_to_g(void)
{
    CHECK_EQ(hosted_rename("build/f", "build/g"), 0);
}

static void rename_f_into_d(void)
{
    CHECK_EQ(hosted_rename("build/f", "build/d/g"), 0);
}

static void exchange(const char *a, const char *b)
{
    struct velo_place from, to;
    CHECK_EQ(walk_to(a, VELO_WALK_NOFOLLOW, &from), 0);
    CHECK_EQ(walk_to(b, VELO_WALK_NOFOLLOW, &to), 0);
    CHECK_EQ(velo_rename(&bench.region, &from, &to, RENAME_EXCHANGE), 0);
}

static void exchange_f_and_g(void)
{
    exchange("build/f", "build/g");
}

static void exchange_f_and_d(void)
{
    exchange("build/f", "build/d");
}

static void exchange_d_and_plain(void)
{
    exchange("build/d", "plain");
}

static void rename_f_out(void)
{
    CHECK_EQ(hosted_rename("build/f", "plain/f"), 0);
}

static void rename_d_out(void)
{
    CHECK_EQ(hosted_rename("build/d", "plain/d"), 0);
}

static void f_memory(void)
{
    in_memory("build/f", "eff");
}
static void f_both(void)
{
    on_disk_too("build/f", "eff");
}
static void f_disk(void)
{
    only_on_disk("build/f", "eff");
}
static void f_older(void)
{
    older_on_disk("build/f", "eff");
}
static void f_cold(void)
{
    only_stored("build/f", "eff");
}
static void f_linked(void)
{
    f_memory();
    link_f_to_g();
    flush_everything();
    refresh_everything();
}
static void f_linked_disk(void)
{
    f_linked();
    CHECK_EQ(velo_evict(&bench.region, node_at("build/f")), 0);
}
/* On disk `f` and `g` are links of one copy, in memory `g` is another file. */
static void g_replaced(void)
{
    hosted_write("build/t", "tee");
    CHECK_EQ(hosted_rename("build/t", "build/g"), 0);
}
static void f_copy_of_both(void)
{
    f_linked();
    g_replaced();
}
static void f_disk_of_both(void)
{
    f_linked_disk();
    g_replaced();
}
static void f_symlink(void)
{
    long_link();
    CHECK_EQ(hosted_rename("build/l", "build/f"), 0);
}
static void f_directory(void)
{
    make_directory();
    on_disk_too("build/d/in", "in");
    in_memory("build/d/new", "new");
    CHECK_EQ(hosted_rename("build/d", "build/f"), 0);
}

/* Every state of `f` (given) renamed over every state of `g`. */
#define OVER(state)                                                                                \
    static void state##_over_memory(void)                                                          \
    {                                                                                              \
        in_memory("build/g", "gee");                                                               \
        state();                                                                                   \
    }                                                                                              \
    static void state##_over_both(void)                                                            \
    {                                                                                              \
        on_disk_too("build/g", "gee");                                                             \
        state();                                                                                   \
    }                                                                                              \
    static void state##_over_disk(void)                                                            \
    {                                                                                              \
        only_on_disk("build/g", "gee");                                                            \
        state();                                                                                   \
    }                                                                                              \
    static void state##_over_older(void)                                                           \
    {                                                                                              \
        older_on_disk("build/g", "gee");                                                           \
        state();                                                                                   \
    }                                                                                              \
    static void state##_over_link(void)                                                            \
    {                                                                                              \
        long_link();                                                                               \
        CHECK_EQ(hosted_rename("build/l", "build/g"), 0);                                          \
        state();                                                                                   \
    }
OVER(f_memory)
OVER(f_both)
OVER(f_disk)
OVER(f_older)
OVER(f_symlink)

static void directory_over_directory(void)
{
    CHECK_EQ(hosted_mkdir("build/g"), 0);
    f_directory();
}

static void f_and_d(void)
{
    make_directory();
    f_both();
}

static void d_with_files(void)
{
    f_and_d();
    on_disk_too("build/d/in", "in");
    in_memory("build/d/new", "new");
}

/* A writer was killed when it had renamed a new version into place, and not said so. */
static void f_half_written_back(void)
{
    older_on_disk("build/f", "eff");
    struct velo_node *node = velo_node_at(&bench.region, node_at("build/f"));
    const int fd = open(in_workspace("build/x"), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    write_all(fd, "eff");
    close(fd);
    CHECK_EQ(rename(in_workspace("build/x"), in_workspace("build/f")), 0);
    velo_name_at(&bench.region, node->first_name)->writer = 1u << 30; /* no thread is called so */
}

static void replace_by_rewriting(void)
{
    hosted_write("build/f", "new bytes");
}

static void chmod_f(void)
{
    struct velo_place place = placed("build/f");
    CHECK_EQ(velo_chmod(&bench.region, &place, 0751), 0);
}

static void writeback_f(void)
{
    CHECK_EQ(velo_writeback(&bench.region, node_at("build/f"), 0), 0);
}

static void f_two_names(void)
{
    f_memory();
    link_f_to_g();
}

static void flush_all(void)
{
    flush_everything();
}

static void evict_f(void)
{
    CHECK_EQ(velo_evict(&bench.region, node_at("build/f")), 0);
}

static void f_stored(void)
{
    f_memory();
    CHECK_EQ(store_node(node_at("build/f")), 0);
}

static void read_f(void)
{
    CHECK(hosted_says("build/f", "eff"));
}

static void f_unlinked(void)
{
    f_memory();
    unlink_f();
}

static void outsiders(void)
{
    make_directory();
    on_disk_too("build/d/in", "in");
    on_disk_too("build/changed", "old");
    on_disk_too("build/removed", "old");
    in_memory("build/dirty", "dirty");
    CHECK_EQ(truncate(in_workspace("build/changed"), 1), 0);
    CHECK_EQ(unlink(in_workspace("build/removed")), 0);
    CHECK_EQ(symlink("x", in_workspace("build/added")), 0);
    CHECK_EQ(unlink(in_workspace("build/d/in")), 0);
    CHECK_EQ(rmdir(in_workspace("build/d")), 0);
    CHECK_EQ(symlink("was a directory", in_workspace("build/d")), 0);
}

static void reconcile_all(void)
{
    reconcile();
}

static void tree_from_before(void)
{
    CHECK_EQ(mkdir(in_workspace("build/d"), 0755), 0);
    CHECK_EQ(symlink("x", in_workspace("build/d/l")), 0);
    CHECK_EQ(symlink("y", in_workspace("build/m")), 0);
}

static void probe_root(void)
{
    struct velo_place place;
    walk_to("build/x", 0, &place);
    bench_check();
}

struct operation {
    const char *name;
    void (*prepare)(void), (*act)(void);
    int steps; /* several changes: done again after the kill, it must end as if never killed */
    int disk_first; /* one native call, then the namespace: reconcile sees what it did */
};

static const struct operation operations[] = {
    {"create", nothing, create_file, 0, 0},
    {"mkdir", nothing, make_directory, 0, 0},
    {"symlink", nothing, long_link, 0, 0},
    {"mkfifo", nothing, make_fifo, 0, 0},
    {"rmdir", make_directory, remove_directory, 0, 0},
    {"unlink-memory", f_memory, unlink_f, 0, 0},
    {"unlink-both", f_both, unlink_f, 0, 0},
    {"unlink-disk", f_disk, unlink_f, 0, 0},
    {"unlink-older", f_older, unlink_f, 0, 0},
    {"unlink-cold", f_cold, unlink_f, 0, 0},
    {"unlink-symlink", f_symlink, unlink_f, 0, 0},
    {"unlink-linked", f_linked, unlink_f, 0, 0},
    {"unlink-linked-disk", f_linked_disk, unlink_f, 0, 0},
    {"link-memory", f_memory, link_f_to_g, 0, 0},
    {"link-both", f_both, link_f_to_g, 0, 0},
    {"link-disk", f_disk, link_f_to_g, 0, 0},
    {"link-symlink", f_symlink, link_f_to_g, 0, 0},
    {"rename-memory", f_memory, rename_f_to_g, 0, 0},
    {"rename-both", f_both, rename_f_to_g, 0, 0},
    {"rename-disk", f_disk, rename_f_to_g, 0, 0},
    {"rename-older", f_older, rename_f_to_g, 0, 0},
    {"rename-symlink", f_symlink, rename_f_to_g, 0, 0},
    {"rename-half-put", f_half_written_back, rename_f_to_g, 0, 0},
    {"unlink-half-put", f_half_written_back, unlink_f, 0, 0},
    {"rename-directory", f_directory, rename_f_to_g, 0, 0},
    {"rename-into", f_and_d, rename_f_into_d, 0, 0},
    {"rename-memory-memory", f_memory_over_memory, rename_f_to_g, 0, 0},
    {"rename-memory-both", f_memory_over_both, rename_f_to_g, 0, 0},
    {"rename-memory-disk", f_memory_over_disk, rename_f_to_g, 0, 0},
    {"rename-memory-older", f_memory_over_older, rename_f_to_g, 0, 0},
    {"rename-memory-link", f_memory_over_link, rename_f_to_g, 0, 0},
    {"rename-both-memory", f_both_over_memory, rename_f_to_g, 0, 0},
    {"rename-both-both", f_both_over_both, rename_f_to_g, 0, 0},
    {"rename-both-disk", f_both_over_disk, rename_f_to_g, 0, 0},
    {"rename-both-older", f_both_over_older, rename_f_to_g, 0, 0},
    {"rename-both-link", f_both_over_link, rename_f_to_g, 0, 0},
    {"rename-disk-memory", f_disk_over_memory, rename_f_to_g, 0, 0},
    {"rename-disk-both", f_disk_over_both, rename_f_to_g, 0, 0},
    {"rename-disk-disk", f_disk_over_disk, rename_f_to_g, 0, 0},
    {"rename-disk-older", f_disk_over_older, rename_f_to_g, 0, 0},
    {"rename-disk-link", f_disk_over_link, rename_f_to_g, 0, 0},
    {"rename-older-memory", f_older_over_memory, rename_f_to_g, 0, 0},
    {"rename-older-both", f_older_over_both, rename_f_to_g, 0, 0},
    {"rename-older-disk", f_older_over_disk, rename_f_to_g, 0, 0},
    {"rename-older-older", f_older_over_older, rename_f_to_g, 0, 0},
    {"rename-older-link", f_older_over_link, rename_f_to_g, 0, 0},
    {"rename-symlink-memory", f_symlink_over_memory, rename_f_to_g, 0, 0},
    {"rename-symlink-both", f_symlink_over_both, rename_f_to_g, 0, 0},
    {"rename-symlink-disk", f_symlink_over_disk, rename_f_to_g, 0, 0},
    {"rename-symlink-older", f_symlink_over_older, rename_f_to_g, 0, 0},
    {"rename-symlink-link", f_symlink_over_link, rename_f_to_g, 0, 0},
    {"rename-over-own-copy", f_copy_of_both, rename_f_to_g, 0, 0},
    {"rename-disk-over-own-copy", f_disk_of_both, rename_f_to_g, 0, 0},
    {"exchange-memory-both", f_memory_over_both, exchange_f_and_g, 0, 0},
    {"exchange-both-disk", f_both_over_disk, exchange_f_and_g, 0, 0},
    {"exchange-disk-older", f_disk_over_older, exchange_f_and_g, 0, 0},
    {"exchange-older-link", f_older_over_link, exchange_f_and_g, 0, 0},
    {"exchange-symlink-memory", f_symlink_over_memory, exchange_f_and_g, 0, 0},
    {"exchange-own-copy", f_copy_of_both, exchange_f_and_g, 0, 0},
    {"exchange-directory", d_with_files, exchange_f_and_d, 0, 0},
    {"exchange-across", d_with_files, exchange_d_and_plain, 0, 0},
    {"leave", f_older, rename_f_out, 0, 0},
    {"leave-directory", d_with_files, rename_d_out, 0, 0},
    {"rename-directory-directory", directory_over_directory, rename_f_to_g, 0, 0},
    {"chmod-memory", f_memory, chmod_f, 0, 0},
    {"chmod-both", f_both, chmod_f, 0, 0},
    {"chmod-disk", f_disk, chmod_f, 0, 1},
    {"put", f_memory, writeback_f, 0, 0},
    {"put-older", f_older, writeback_f, 0, 0},
    {"put-two-names", f_two_names, writeback_f, 0, 0},
    {"put-all", f_directory, flush_all, 0, 0},
    {"evict-both", f_both, evict_f, 0, 0},
    {"evict-stored", f_stored, evict_f, 0, 0},
    {"load", f_cold, read_f, 0, 0},
    {"settle-unlinked", f_unlinked, refresh_everything, 0, 0},
    {"rewrite-memory", f_memory, replace_by_rewriting, 1, 0},
    {"rewrite-disk", f_disk, replace_by_rewriting, 1, 0},
    {"rewrite-cold", f_cold, replace_by_rewriting, 1, 0},
    {"reconcile", outsiders, reconcile_all, 1, 0},
    {"whole", nothing, put_whole_f, 0, 0},
    {"first-sight", tree_from_before, probe_root, 0, 0},
};

#endif
