/* test_visitors.c - did a process that reads or empties a directory miss a name that a flush gives there?
 *
 * Each row is what a visitor does before the name is given, and what after. */
#include <stdatomic.h>

#include "check.h"

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

/* o: opens the directory; r: reads it; c: closes it; d: a name goes. */
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

int main(void)
{
    bench_open();
    snprintf(directory, sizeof directory, "%s/plain", bench.workspace);
    RUN(a_name_is_missed_by_the_visitor_that_read_before_it);
    RUN(a_name_is_not_missed_by_the_visitor_that_reads_after_it);
    RUN(a_name_of_another_directory_is_no_sign);
    bench_close();
    return 0;
}
