/* test_random.c - thousands of random operations in a hosted and in a plain directory: equal answers
 * and equal trees, whatever a shard does to the files in between.
 *
 *   test_random [operations]       VELO_TEST_SEED=... repeats a run
 *
 * Few names and a shallow tree, so that operations meet: most renames replace something, many
 * links are links of links. */
#include "both.h"
#include "store.h"

#define CHECK_EVERY 50

static uint64_t random_state;

static unsigned pick(unsigned limit)
{
    return random_below(&random_state, limit);
}

static void random_path(char *out, size_t size)
{
    static const char *const parts[] = {
        "a",  "b", "c", "d", "e", "long-name-that-needs-more-than-the-forty-eight-bytes-of-a-slot",
        "..", ".",
    };
    size_t used = 0;
    const unsigned depth = 1 + pick(3);
    for (unsigned i = 0; i < depth; i++) {
        const char *part = parts[pick(i == 0 ? 6 : 8)];
        used += (size_t)snprintf(out + used, size - used, "%s%s", i == 0 ? "" : "/", part);
    }
    if (pick(20) == 0)
        snprintf(out + used, size - used, "/");
}

static void random_text(char *out, size_t size)
{
    const unsigned length = pick(10) == 0 ? (unsigned)size - 1 : pick(200);
    memset(out, 'a' + (char)pick(26), length);
    out[length] = 0;
}

static int random_flags(void)
{
    static const int flags[] = {O_WRONLY,
                                O_WRONLY | O_TRUNC,
                                O_RDWR,
                                O_WRONLY | O_APPEND,
                                O_WRONLY | O_EXCL,
                                O_WRONLY | O_TRUNC | O_EXCL,
                                O_RDWR | O_TRUNC | O_NOFOLLOW};
    return flags[pick(sizeof flags / sizeof flags[0])];
}

static void random_target(char *out, size_t size)
{
    static const char *const targets[] = {"a", "b",   "c/d",     "../a",
                                          "d", "./b", "nowhere", "../../x"};
    snprintf(out, size, "%s", targets[pick(7)]);
}

/* "file/" and "link/": the walk says ENOTDIR or ENOENT where some calls say EEXIST or EISDIR. */
static int slash_after_other(const char *name)
{
    struct velo_place place;
    char path[320];
    const int length = snprintf(path, sizeof path, "build/%s", name);
    if (length == 0 || path[length - 1] != '/')
        return 0;
    path[length - 1] = 0;
    return walk_to(path, VELO_WALK_NOFOLLOW, &place) == 0 && place.at.type != VELO_DIRECTORY &&
           place.at.type != VELO_NONE;
}

/* Links and `..` may lead to the directories under test themselves, or out of them. */
static int leads_out(const char *name)
{
    struct velo_place place;
    char path[320];
    snprintf(path, sizeof path, "build/%s", name);
    for (unsigned flags = 0; flags <= VELO_WALK_NOFOLLOW; flags++)
        if (walk_to(path, flags, &place) == 0 &&
            (place.at.kind == VELO_OUTSIDE || velo_same_node(place.at.node, place.at.root)))
            return 1;
    return 0;
}

static void random_step(void)
{
    static const enum verb verbs[] = {MKDIR,    MKDIR,    RMDIR,  UNLINK, UNLINK, RENAME,
                                      RENAME,   RENAME,   LINK,   LINK,   WRITE,  WRITE,
                                      WRITE,    SYMLINK,  READ,   STAT,   LSTAT,  CHMOD,
                                      TRUNCATE, READLINK, ACCESS, OPEN,   MKFIFO, RENAME_NOREPLACE_,
                                      CHOWN};
    static const mode_t modes[] = {0644, 0755, 0600, 01777};
    static char name[300], other[300], text[70000];
    struct step step = {.verb = verbs[pick(sizeof verbs / sizeof verbs[0])], .name = name};
    random_path(name, sizeof name);
    random_path(other, sizeof other);
    random_text(text, sizeof text);
    step.mode = modes[pick(4)];
    step.other = step.verb == WRITE ? text : other;
    if (step.verb == SYMLINK)
        random_target(other, sizeof other);
    if (step.verb == TRUNCATE || step.verb == CHOWN)
        step.mode = geteuid() == 0 ? pick(10000) : 0;
    if (step.verb == ACCESS)
        step.mode = F_OK;
    step.flags = step.verb == WRITE ? random_flags() : O_RDONLY | O_NONBLOCK;
    if (slash_after_other(name) || slash_after_other(other) || leads_out(name) || leads_out(other))
        return;
    if (step.verb == READ || step.verb == OPEN || step.verb == WRITE) {
        struct velo_place place; /* opening a FIFO would wait */
        char path[320];
        snprintf(path, sizeof path, "build/%s", name);
        if (walk_to(path, 0, &place) == 0 && place.at.type == VELO_OTHER)
            return;
    }
    if (step.verb == CHOWN && geteuid() != 0)
        return;
    do_both(&step);
}

/* What shards do whenever they like, to any file. */
static void random_shard_deed(void)
{
    struct velo_node_info info[256];
    uint32_t cursor = 0;
    const uint32_t count = velo_scan(&bench.region, UINT32_MAX, &cursor, info, 256);
    const unsigned deed = pick(6);
    if (deed == 0)
        flush_everything();
    if (deed == 1)
        refresh_everything();
    if (deed == 2) { /* everything here was done through us: nothing may look like an outsider's */
        const struct velo_reconcile_result result = reconcile();
        CHECK_EQ(result.conflicts, 0);
        CHECK_EQ(result.changed, 0);
        CHECK_EQ(result.ingested, 0);
        CHECK_EQ(result.vanished, 0);
    }
    for (unsigned i = 0; i < 3 && count > 0 && deed > 2; i++) {
        const struct velo_node_info *file = &info[pick(count)];
        if (deed == 3 && file->links > 0)
            CHECK(velo_writeback(&bench.region, file->node, 0) >= 0);
        if (deed == 4 && file->links > 0 && file->state == VELO_BACKED)
            CHECK_EQ(store_node(file->node), 0);
        if (deed == 5 && file->state == VELO_BACKED)
            velo_evict(&bench.region, file->node);
    }
}

/* With poison, what the disk has not in its present version cannot be read there. */
static void poison_stands_for_what_is_dirty(void)
{
    struct velo_node_info info[256];
    char path[PATH_MAX];
    struct stat disk;
    uint32_t cursor = 0;
    do {
        const uint32_t count = velo_scan(&bench.region, UINT32_MAX, &cursor, info, 256);
        for (uint32_t i = 0; i < count; i++) {
            if (info[i].links != 1 || !info[i].dirty_disk)
                continue;
            CHECK(velo_path_of(&bench.region, info[i].node, path) > 0);
            if (lstat(path, &disk) != 0) { /* nobody reads it there either */
                CHECK_EQ(errno, EACCES);
                continue;
            }
            CHECK(S_ISSOCK(disk.st_mode));
        }
    } while (cursor != 0);
}

static void run(int operations, int poison)
{
    bench.poison = poison;
    bench_open();
    bench.region.ask = answer;
    for (int i = 1; i <= operations; i++) {
        random_step();
        if (pick(8) == 0)
            random_shard_deed();
        if (i % CHECK_EVERY == 0) {
            bench_check();
            trees_equal();
            if (poison)
                poison_stands_for_what_is_dirty();
        }
    }
    make_room(&bench.region);
    refresh_everything();
    bench_check();
    trees_equal();
    CHECK_EQ(reconcile().changed, 0);
    bench_close();
}

int main(int argc, char **argv)
{
    const int operations = argc > 1 ? atoi(argv[1]) : 6000;
    random_state = random_seed();
    run(operations, 0);
    run(operations / 2, 1);
    return 0;
}
