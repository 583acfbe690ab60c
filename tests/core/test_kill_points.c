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
#include "operations.h"

#include <sys/mman.h>

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

static void probe_into(struct snapshot *shot, const char *directory)
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

/* What came out of the hosted directory, and its bytes. */
static void probe_outside(struct snapshot *shot)
{
    static const char *const names[] = {"plain/f", "plain/d/in", "plain/d/new", "plain/in",
                                        "plain/new"};
    char bytes[200];
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        const int fd = open(in_workspace(names[i]), O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        const ssize_t got = read(fd, bytes, sizeof bytes - 1);
        bytes[got < 0 ? 0 : got] = 0;
        close(fd);
        shot->length +=
            (size_t)snprintf(shot->text + shot->length, sizeof shot->text - shot->length, "%s %s\n",
                             names[i], bytes);
    }
}

/* `build`, `build/d` when it is there, and what left them. */
static void take_snapshot(char out[SNAPSHOT_BYTES])
{
    static struct snapshot shot;
    struct stat st;
    memset(&shot, 0, sizeof shot);
    probe_into(&shot, "build");
    if (hosted_stat("build/d", &st) == 0 && S_ISDIR(st.st_mode))
        probe_into(&shot, "build/d");
    probe_outside(&shot);
    memcpy(out, shot.text, SNAPSHOT_BYTES);
}

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

/* Put, reconciled and looked at again it is still `expected` (or `too`). */
static void disk_follows(const char *expected, const char *too)
{
    static char now[SNAPSHOT_BYTES];
    flush_everything();
    refresh_everything();
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
    child_dies_at(k % 7 + 1, probe_root);
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
