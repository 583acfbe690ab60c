/* Walks of libc that change what they walk: trees removed by nftw and by fts, files made and renamed
 * on the way, two walks at once, one that is left early, threads with small stacks. */
#include <fts.h>
#include <ftw.h>
#include <pthread.h>

#include "say.h"

static void make_tree(const char *top)
{
    char path[200];
    mkdir(top, 0755);
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%d", top, i);
        mkdir(path, 0755);
        for (int j = 0; j < 40; j++) {
            snprintf(path, sizeof path, "%s/%d/file%d", top, i, j);
            write_file(path, path);
        }
        snprintf(path, sizeof path, "%s/%d/deep", top, i);
        mkdir(path, 0755);
        snprintf(path, sizeof path, "%s/%d/deep/link", top, i);
        if (symlink("../file1", path) != 0)
            say(path, -1);
    }
}

static int met, bytes;
static int count(const char *path, const struct stat *stat, int kind, struct FTW *at)
{
    (void)path, (void)at;
    met++;
    bytes += kind == FTW_F ? (int)stat->st_size : 0;
    return 0;
}

static int take_away(const char *path, const struct stat *stat, int kind, struct FTW *at)
{
    (void)stat, (void)at;
    return kind == FTW_DP ? rmdir(path) : unlink(path);
}

static int take_away_here(const char *path, const struct stat *stat, int kind, struct FTW *at)
{
    (void)stat;
    char beside[300];
    snprintf(beside, sizeof beside, "../%s", path + at->base);
    return kind == FTW_DP ? rmdir(beside) : unlink(path + at->base); /* we are still inside */
}

static int make_more(const char *path, const struct stat *stat, int kind, struct FTW *at)
{
    (void)stat, (void)at;
    char more[300];
    snprintf(more, sizeof more, "%s/new", path);
    if (kind == FTW_D)
        write_file(more, "new");
    return 0;
}

static void remove_by_steps(char *top, int options)
{
    char *roots[] = {top, NULL};
    FTS *fts = fts_open(roots, options, NULL);
    int wrong = 0;
    for (FTSENT *entry; (entry = fts_read(fts)) != NULL;)
        if (entry->fts_info == FTS_DP)
            wrong += rmdir(entry->fts_accpath) != 0;
        else if (entry->fts_info != FTS_D)
            wrong += unlink(entry->fts_accpath) != 0;
    say("not removed", wrong);
    SAY(fts_close(fts));
    SAY(access(top, F_OK));
}

static void two_at_once(void)
{
    char *roots[2][2] = {{"first", NULL}, {"second", NULL}};
    FTS *walks[2] = {fts_open(roots[0], FTS_PHYSICAL | FTS_NOCHDIR, NULL),
                     fts_open(roots[1], FTS_LOGICAL, NULL)};
    int counts[2] = {0, 0};
    for (int open = 2; open > 0;) {
        open = 0;
        for (int i = 0; i < 2; i++)
            if (fts_read(walks[i]) != NULL)
                counts[i]++, open++;
    }
    printf("two walks: %d %d\n", counts[0], counts[1]);
    SAY(fts_close(walks[0]));
    SAY(fts_close(walks[1]));
}

/* In the middle of a tree, where the working directory is another one. */
static void leave_early(void)
{
    char *roots[] = {"first", NULL}, before[4096], after[4096];
    printf("%d\n", getcwd(before, sizeof before) != NULL);
    FTS *fts = fts_open(roots, FTS_PHYSICAL, NULL);
    for (int i = 0; i < 10; i++)
        fts_read(fts);
    write_file("made-inside", "by a relative name");
    unlink("made-inside");
    SAY(fts_close(fts));
    printf("back: %d\n", getcwd(after, sizeof after) != NULL && strcmp(before, after) == 0);
}

static int both(const FTSENT **left, const FTSENT **right)
{
    return strcmp((*left)->fts_name, (*right)->fts_name);
}

static void *walk_in_thread(void *unused)
{
    (void)unused;
    char *roots[] = {"first", "second", NULL};
    met = bytes = 0;
    long result = nftw("first", count, 3, FTW_PHYS);
    FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, both);
    while (fts_read(fts) != NULL)
        result++;
    fts_close(fts);
    return (void *)result;
}

static void with_a_small_stack(void)
{
    pthread_attr_t attributes;
    pthread_t thread;
    void *result = NULL;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 32768);
    SAY(pthread_create(&thread, &attributes, walk_in_thread, NULL));
    pthread_join(thread, &result);
    printf("in a thread: %ld, %d met, %d bytes\n", (long)result, met, bytes);
}

int main(void)
{
    const char *const trees[] = {"first", "second", "third", "fourth", "fifth"};
    for (int i = 0; i < 5; i++)
        make_tree(trees[i]);
    SAY(nftw("..", count, 3, FTW_PHYS | FTW_MOUNT));
    printf("%d met, %d bytes\n", met, bytes);
    SAY(nftw("old", make_more, 3, FTW_PHYS));
    show_file("old/new");
    with_a_small_stack();
    two_at_once();
    leave_early();
    SAY(nftw("first", take_away, 2, FTW_PHYS | FTW_DEPTH));
    SAY(access("first", F_OK));
    SAY(nftw("second", take_away, 1, FTW_PHYS | FTW_DEPTH));
    SAY(access("second", F_OK));
    SAY(nftw("third", take_away_here, 5, FTW_PHYS | FTW_DEPTH | FTW_CHDIR));
    SAY(access("third", F_OK));
    remove_by_steps("fourth", FTS_PHYSICAL);
    remove_by_steps("fifth", FTS_PHYSICAL | FTS_NOCHDIR);
    return 0;
}
