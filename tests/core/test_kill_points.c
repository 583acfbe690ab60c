/* test_kill_points.c - an operation that is killed between any two of its stores or steps on disk has
 * happened or has not, in the namespace and on disk.
 *
 * Goal    lock.h: undo leaves a whole tree; name.c: disk and namespace stay one.
 * Method  the core is compiled with VELO_KILL_POINTS.  For each operation and each k a child makes
 *         it in a fresh arena and dies at its k-th point; who looks next must see the tree as it
 *         was before or as it is after a run that nobody killed.  The process that repairs is
 *         killed as well, at a point that moves with k.
 *
 *   test_kill_points [first letters of the names of operations to try] */
#include "disk.h"
#include "store.h"

#include <sys/mman.h>

#define NAME_60 "a-name-that-does-not-fit-into-a-slot-and-goes-on-in-chunks.."
#define SNAPSHOT_BYTES 4096

extern long velo_kill_countdown; /* lock.c */

/* ---- a tree as text -------------------------------------------------------------------------- */

struct snapshot {
    char text[SNAPSHOT_BYTES];
    size_t length;
    char lines[32][256];
    unsigned count;
    char directory[PATH_MAX];
};

static int add_line(void *context, const char *name, size_t length, uint64_t inode,
                    unsigned char type)
{
    struct snapshot *shot = context;
    char path[PATH_MAX], bytes[200] = "";
    struct stat st;
    (void)inode, (void)type;
    snprintf(path, sizeof path, "%.3000s/%.*s", shot->directory, (int)length, name);
    if (hosted_stat(path, &st) != 0)
        return 0; /* its directory was stale: the next look has it right */
    CHECK(shot->count < 32);
    const int fd = S_ISREG(st.st_mode) ? hosted_open(path, O_RDONLY | O_CLOEXEC, 0) : -1;
    if (fd >= 0) {
        const ssize_t got = pread(fd, bytes, sizeof bytes - 1, 0);
        bytes[got < 0 ? 0 : got] = 0;
        close(fd);
    }
    if (S_ISLNK(st.st_mode)) {
        struct velo_place place;
        CHECK_EQ(walk_to(path, VELO_WALK_NOFOLLOW, &place), 0);
        velo_readlink(&bench.region, &place, bytes, 20);
    }
    snprintf(shot->lines[shot->count++], 256, "%.70s %o %lu %ld %.120s\n", path, st.st_mode,
             (unsigned long)st.st_nlink, S_ISDIR(st.st_mode) ? 0 : (long)st.st_size, bytes);
    return 0;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void look_into(struct snapshot *shot, const char *directory)
{
    static struct snapshot part;
    memset(&part, 0, sizeof part);
    snprintf(part.directory, sizeof part.directory, "%s", directory);
    CHECK_EQ(velo_list(&bench.region, node_at(directory), add_line, &part), 0);
    qsort(part.lines, part.count, sizeof part.lines[0], by_text);
    for (unsigned i = 0; i < part.count; i++)
        shot->length += (size_t)snprintf(shot->text + shot->length,
                                         sizeof shot->text - shot->length, "%s", part.lines[i]);
}

/* `build`, and `build/d` when it is there. */
static void take_snapshot(char out[SNAPSHOT_BYTES])
{
    static struct snapshot shot;
    struct stat st;
    memset(&shot, 0, sizeof shot);
    look_into(&shot, "build");
    if (hosted_stat("build/d", &st) == 0 && S_ISDIR(st.st_mode))
        look_into(&shot, "build/d");
    memcpy(out, shot.text, SNAPSHOT_BYTES);
}

/* ---- how files come into their state --------------------------------------------------------- */

static void in_memory(const char *name, const char *text)
{
    hosted_write(name, text);
}

static void on_disk_too(const char *name, const char *text)
{
    hosted_write(name, text);
    CHECK_EQ(velo_put(&bench.region, node_at(name), 0), 0);
    velo_settle(&bench.region, node_at(name));
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
    put_everything();
    settle_everything();
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

static void replace_by_rewriting(void)
{
    hosted_write("build/f", "new bytes");
}

static void chmod_f(void)
{
    struct velo_place place = placed("build/f");
    CHECK_EQ(velo_chmod(&bench.region, &place, 0751), 0);
}

static void put_f(void)
{
    CHECK_EQ(velo_put(&bench.region, node_at("build/f"), 0), 0);
}

static void f_two_names(void)
{
    f_memory();
    link_f_to_g();
}

static void put_all(void)
{
    put_everything();
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

static void look_at_root(void)
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
    {"put", f_memory, put_f, 0, 0},
    {"put-older", f_older, put_f, 0, 0},
    {"put-two-names", f_two_names, put_f, 0, 0},
    {"put-all", f_directory, put_all, 0, 0},
    {"evict-both", f_both, evict_f, 0, 0},
    {"evict-stored", f_stored, evict_f, 0, 0},
    {"load", f_cold, read_f, 0, 0},
    {"settle-unlinked", f_unlinked, settle_everything, 0, 0},
    {"rewrite-memory", f_memory, replace_by_rewriting, 1, 0},
    {"rewrite-disk", f_disk, replace_by_rewriting, 1, 0},
    {"rewrite-cold", f_cold, replace_by_rewriting, 1, 0},
    {"reconcile", outsiders, reconcile_all, 1, 0},
    {"first-sight", tree_from_before, look_at_root, 0, 0},
};

/* ---- killing --------------------------------------------------------------------------------- */

/* By a process that has ended, like most that make files: what it leaves behind may be swept. */
static void start_over(const struct operation *operation)
{
    bench_open();
    bench.region.ask = answer;
    const pid_t child = fork();
    if (child == 0) {
        operation->prepare();
        _exit(0);
    }
    CHECK(child_ended_well(child));
}

/* In a child, dying at point `k`. Nonzero when it got through alive. */
static int child_dies_at(long k, void (*act)(void))
{
    const pid_t child = fork();
    if (child == 0) {
        velo_kill_countdown = k;
        act();
        _exit(0);
    }
    int status = 0;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status) ? WEXITSTATUS(status) == 0 : WTERMSIG(status) == SIGKILL);
    return WIFEXITED(status);
}

static unsigned files_in_memory(void)
{
    struct velo_node_info info[64];
    uint32_t cursor = 0;
    unsigned count = 0;
    const uint32_t found = velo_scan(&bench.region, UINT32_MAX, &cursor, info, 64);
    for (uint32_t i = 0; i < found; i++)
        count += info[i].state == VELO_BACKED;
    return count;
}

static unsigned backing_files(void)
{
    char path[128];
    unsigned count = 0;
    snprintf(path, sizeof path, "%s/i", bench.arena);
    DIR *dir = opendir(path);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

/* Put, reconciled and looked at again it is still `expected` (or `too`). */
static void disk_follows(const char *expected, const char *too)
{
    static char now[SNAPSHOT_BYTES];
    put_everything();
    settle_everything();
    bench_check();
    const struct velo_reconcile_result result = reconcile();
    CHECK_EQ(result.conflicts, 0);
    take_snapshot(now);
    if (strcmp(now, expected) != 0 && strcmp(now, too) != 0) {
        fprintf(stderr, "expected:\n%snow:\n%s", expected, now);
        CHECK(strcmp(now, expected) == 0 || strcmp(now, too) == 0);
    }
    disk_agrees();
    velo_sweep(&bench.region);
    CHECK_EQ(backing_files(), files_in_memory());
}

/* One kill. Nonzero when the operation has fewer than `k` points. */
static int kill_at(const struct operation *operation, long k, const char *before, const char *after)
{
    static char now[SNAPSHOT_BYTES];
    start_over(operation);
    const int survived = child_dies_at(k, operation->act);
    child_dies_at(k % 7 + 1, look_at_root);
    bench_check();
    if (operation->steps)
        operation->act();
    take_snapshot(now);
    const int as_after = strcmp(now, after) == 0, as_before = strcmp(now, before) == 0;
    if (!as_after && (!as_before || survived || operation->steps)) {
        fprintf(stderr, "before:\n%safter:\n%snow:\n%s", before, after, now);
        CHECK(as_after || as_before); /* it is a state that nobody asked for */
        CHECK(as_after);
    }
    disk_follows(now, operation->disk_first ? after : now);
    bench_close();
    return survived;
}

static void all_or_nothing(const struct operation *operation)
{
    static char before[SNAPSHOT_BYTES], after[SNAPSHOT_BYTES];
    start_over(operation);
    take_snapshot(before); /* in an arena of its own: looking loads cold files */
    bench_close();
    start_over(operation);
    operation->act();
    take_snapshot(after);
    disk_follows(after, after);
    bench_close();
    long k = 1;
    do
        snprintf(bench.note, sizeof bench.note, "(%s killed at point %ld)", operation->name, k);
    while (!kill_at(operation, k++, before, after));
    printf("  %s: %ld points\n", operation->name, k - 2);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    const char *only = argc > 1 ? argv[1] : "";
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++)
        if (strncmp(operations[i].name, only, strlen(only)) == 0)
            all_or_nothing(&operations[i]);
    return 0;
}
