/* test_visitors.c - did a process that reads or empties a directory miss a name that a flush gives there?
 *
 * Each row is what a visitor does before the name is given, and what after. */
#include <stdatomic.h>

#include "check.h"

#include "core/arena/layout.h"
#include "core/disk/tether.h"
#include "core/disk/visitors.h"

static char directory[128];
static DIR *visitor;

static void path_of(const char *name, char out[256])
{
    snprintf(out, 256, "%s/%s", directory, name);
}

static void make(const char *name)
{
    char path[256];
    path_of(name, path);
    const int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
    CHECK(fd >= 0);
    close(fd);
}

static void take(const char *name)
{
    char path[256];
    path_of(name, path);
    CHECK_EQ(unlink(path), 0);
}

/* o: opens the directory; r: reads it; c: closes it; d: a name goes; t: a shard's temporary one does. */
static void do_all(const char *what)
{
    for (; *what != 0; what++) {
        if (*what == 'o')
            CHECK((visitor = opendir(directory)) != NULL);
        if (*what == 'r')
            CHECK(readdir(visitor) != NULL);
        if (*what == 'c') {
            closedir(visitor);
            visitor = NULL;
        }
        if (*what == 'd')
            take("other");
        if (*what == 't') {
            make(VELO_TEMPORARY_PREFIX "1");
            take(VELO_TEMPORARY_PREFIX "1");
        }
    }
}

static int missed(const char *before, const char *after)
{
    struct velo_visitors visitors = {0};
    make("other");
    const int fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    const int watch = velo_visitors_watch(&visitors, fd);
    CHECK(watch != 0);
    CHECK_EQ(velo_visitors_naming(&visitors, watch, "new"), 0);
    do_all(before);
    make("new");
    do_all(after);
    const int is_missed = velo_visitors_missed(&visitors);
    close(atomic_load(&visitors.inotify) - 1);
    close(fd);
    take("new");
    if (strchr(before, 'd') == NULL && strchr(after, 'd') == NULL)
        take("other");
    if (visitor != NULL)
        closedir(visitor);
    visitor = NULL;
    return is_missed;
}

static void a_name_is_missed_by_the_visitor_that_read_before_it(void)
{
    CHECK(missed("or", ""));
    CHECK(missed("or", "d"));
    CHECK(missed("ord", ""));
    CHECK(!missed("or", "c")); /* it removes nothing any more */
    CHECK(missed("d", "")); /* of a visitor that came before the watch, like the next */
    CHECK(missed("", "d"));
}

static void a_name_is_not_missed_by_the_visitor_that_reads_after_it(void)
{
    CHECK(!missed("", ""));
    CHECK(!missed("o", "r"));
    CHECK(!missed("o", "rd"));
    CHECK(!missed("", "or"));
    CHECK(!missed("", "ord"));
    CHECK(!missed("o", "t"));
}

static void a_name_of_another_directory_is_no_sign(void)
{
    struct velo_visitors visitors = {0};
    const int fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    const int watch = velo_visitors_watch(&visitors, fd);
    CHECK_EQ(velo_visitors_naming(&visitors, watch, NULL), 0);
    do_all("or");
    CHECK(!velo_visitors_missed(&visitors)); /* none was given */
    CHECK(velo_visitors_naming(&visitors, watch, "new")); /* the visitor is there */
    do_all("c");
    CHECK(!velo_visitors_naming(&visitors, watch, "new"));
    close(atomic_load(&visitors.inotify) - 1);
    close(fd);
}

/* The directory of the name counts, among all in which something waits to be put. */
static void a_tethered_directory_is_heard_by_its_own_names(void)
{
    CHECK_EQ(hosted_mkdir("build/d"), 0);
    CHECK_EQ(hosted_mkdir("build/other"), 0);
    hosted_write("build/d/waits", "");
    hosted_write("build/other/waits", "");
    CHECK_EQ(velo_tether(&bench.region, 1), 0);
    const char *const read[] = {"d", "other"};
    for (int i = 0; i < 2; i++) {
        snprintf(directory, sizeof directory, "%s/build/%s", bench.workspace, read[i]);
        CHECK_EQ(velo_tether_naming(&bench.region, node_at("build/d"), "new"), 0);
        do_all("or");
        outsider_writes("build/d/new", "");
        CHECK_EQ(velo_tether_missed(&bench.region), i == 0);
        do_all("c");
        CHECK_EQ(unlink(in_workspace("build/d/new")), 0);
        while (velo_tether_naming(&bench.region, node_at("build/d"), NULL))
            velo_tether_wait(&bench.region);
    }
}

int main(void)
{
    bench_open();
    snprintf(directory, sizeof directory, "%s/plain", bench.workspace);
    RUN(a_name_is_missed_by_the_visitor_that_read_before_it);
    RUN(a_name_is_not_missed_by_the_visitor_that_reads_after_it);
    RUN(a_name_of_another_directory_is_no_sign);
    RUN(a_tethered_directory_is_heard_by_its_own_names);
    bench_close();
    return 0;
}
