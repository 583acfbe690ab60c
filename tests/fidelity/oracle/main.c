/* main.c - reads scripts and runs each in a child of its own.
 *
 *   oracle DIRECTORY OUTSIDE [times]
 *                               scripts from stdin, results to stdout; a pair of pipes for
 *                               control may be inherited, ORACLE_CONTROL is "WRITE,READ". No
 *                               socket: its peer would be one outside, which velo has to heed
 *   oracle -r FROM TO LINE fds  goes on with the script of whoever exec'd it */
#include "oracle.h"

#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SECONDS_MAX = 20 };

struct shared *shared;
static char home[4096], outside[4096];
static struct context context;

/* ---- one line -------------------------------------------------------------------------------- */

static const struct operation_name *const tables[] = {
    file_operations,      name_operations,    attribute_operations,
    directory_operations, lock_operations,    stdio_operations,
    transfer_operations,  process_operations, walk_operations,
};

static const struct operation_name *find(const char *name)
{
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        for (const struct operation_name *each = tables[i]; each->name != NULL; each++)
            if (strcmp(each->name, name) == 0)
                return each;
    fprintf(stderr, "oracle: unknown operation %s\n", name);
    exit(3);
}

static void collect(struct context *c)
{
    if (c->collected_length + c->used > c->collected_size) {
        c->collected_size = 2 * (c->collected_length + c->used);
        c->collected = realloc(c->collected, c->collected_size);
    }
    memcpy(c->collected + c->collected_length, c->text, c->used);
    c->collected_length += c->used;
}

static void print_line(struct context *c)
{
    say(c, "\n");
    if (c->lane != NULL)
        collect(c);
    else if (write(FD_OUT, c->text, c->used) != (ssize_t)c->used)
        _exit(4);
    c->used = 0;
}

static int split(char *text, char *words[WORDS_MAX + 1])
{
    int count = 0;
    for (char *rest = text, *word; count < WORDS_MAX && (word = strtok_r(rest, " \n", &rest));)
        words[count++] = word;
    words[count] = NULL;
    return count;
}

/* One operation; without a line, only what was said so far is printed. */
void run_line(struct context *c, const char *line, size_t length)
{
    char text[PATH_BYTES], *words[WORDS_MAX + 1];
    if (line == NULL) {
        print_line(c);
        return;
    }
    if (length >= sizeof text)
        length = sizeof text - 1;
    memcpy(text, line, length);
    text[length] = 0;
    const int count = split(text, words);
    if (count == 0)
        return;
    const struct operation_name *operation = find(words[0]);
    if (count - 1 < operation->least) {
        fprintf(stderr, "oracle: %s wants %d words\n", words[0], operation->least);
        exit(3);
    }
    if (strcmp(words[0], "thread") != 0) /* it runs a line of its own */
        say(c, "%d", c->line);
    errno = 0;
    operation->run(c, words + 1);
    if (c->used > 0)
        print_line(c);
}

void run_lines(struct context *c, uint32_t from, uint32_t to, int line)
{
    for (uint32_t at = from; at < to;) {
        const uint32_t end = next_line(at);
        char word[16];
        snprintf(word, sizeof word, "%.*s", (int)strcspn(shared->script + at, " \n"),
                 shared->script + at);
        c->line = ++line;
        if (is_block(word)) {
            const int own = line;
            const uint32_t after = run_block(c, word, end, to, &line);
            char said[64];
            snprintf(said, sizeof said, "%.*s", (int)c->used, c->text);
            c->used = 0;
            say(c, "%d %s%s", own, word, said);
            print_line(c);
            at = after;
        } else {
            run_line(c, shared->script + at, end - at);
            at = end;
        }
    }
}

void context_clear(struct context *c)
{
    for (int i = 0; i < OTHERS; i++) {
        if (c->maps[i].address != NULL)
            munmap(c->maps[i].address, c->maps[i].length);
        if (c->files[i] != NULL)
            fclose(c->files[i]);
        if (c->dirs[i] != NULL)
            closedir(c->dirs[i]);
        c->maps[i].address = NULL;
        c->files[i] = NULL;
        c->dirs[i] = NULL;
    }
    for (int i = 0; i < SLOTS; i++) {
        if (c->fds[i] >= 0)
            close(c->fds[i]);
        c->fds[i] = -1;
    }
}

/* ---- one script ------------------------------------------------------------------------------ */

/* The saved one stays: who becomes another for good works on disk, and this is about memory. */
static void become(uid_t uid)
{
    if (uid == 0)
        return;
    if (chown(shared->base, uid, uid) != 0 || chown(shared->outside, uid, uid) != 0 ||
        setgroups(0, NULL) != 0 || setresgid(uid, uid, uid) != 0 ||
        setresuid(uid, uid, (uid_t)-1) != 0) {
        fprintf(stderr, "oracle: cannot be user %u\n", uid);
        _exit(3);
    }
}

/* In the child: the script, then the tree it left, looked at through the same names. */
static void run_script(uid_t uid)
{
    alarm(SECONDS_MAX);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGIO, SIG_IGN);
    umask(022);
    for (int i = 0; i < SLOTS; i++)
        context.fds[i] = -1;
    context.observed = &shared->observed;
    if (mkdir(shared->outside, 0755) != 0 || mkdir(shared->base, 0755) != 0 ||
        chdir(shared->base) != 0) {
        fprintf(stderr, "oracle: %s: %s\n", shared->base, strerror(errno));
        _exit(3);
    }
    become(uid);
    run_lines(&context, 0, shared->length, 0);
    context_clear(&context);
    _exit(0);
}

static void audit_script(void)
{
    memset(&context, 0, sizeof context);
    for (int i = 0; i < SLOTS; i++)
        context.fds[i] = -1;
    context.observed = &shared->observed;
    umask(022);
    if (chdir(home) != 0)
        exit(3);
    if (chdir(shared->base) == 0) /* a script may have removed it */
        run_line(&context, "audit .", 7);
    run_line(&context, "audit ^", 7);
    if (chdir(home) != 0)
        exit(3);
}

static int remove_each(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)kind;
    (void)at;
    if (S_ISDIR(st->st_mode))
        rmdir(path);
    else
        unlink(path);
    return 0;
}

static void remove_tree(const char *path)
{
    nftw(path, remove_each, 16, FTW_DEPTH | FTW_PHYS);
}

static void one_script(const char *name, uid_t uid, int keep)
{
    char done[512];
    int status = 0;
    memset(&shared->observed, 0, sizeof shared->observed);
    snprintf(shared->base, sizeof shared->base, "%s/%s", home, name);
    snprintf(shared->outside, sizeof shared->outside, "%s/%s", outside, name);
    const pid_t pid = fork();
    if (pid == 0)
        run_script(uid);
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        exit(3);
    audit_script();
    if (!keep)
        remove_tree(shared->base), remove_tree(shared->outside);
    const int left =
        !keep && (access(shared->base, F_OK) == 0 || access(shared->outside, F_OK) == 0);
    const int length = snprintf(done, sizeof done, "done %s %d%s\n", name,
                                WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status),
                                left ? " and something is left" : "");
    if (write(FD_OUT, done, (size_t)length) != length)
        exit(4);
}

static void serve(FILE *in)
{
    char line[LINE_MAX_BYTES], name[256], fate[16];
    unsigned uid = 0;
    while (fgets(line, sizeof line, in) != NULL) {
        if (sscanf(line, "begin %255s %u %15s", name, &uid, fate) != 3)
            exit(3);
        shared->length = 0;
        while (fgets(line, sizeof line, in) != NULL && strcmp(line, "end\n") != 0) {
            const size_t length = strlen(line);
            if (shared->length + length >= SCRIPT_MAX)
                exit(3);
            memcpy(shared->script + shared->length, line, length);
            shared->length += (uint32_t)length;
        }
        one_script(name, uid, strcmp(fate, "keep") == 0);
    }
}

/* ---- the program ----------------------------------------------------------------------------- */

static void *map_shared(int fd)
{
    void *mapped = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED)
        exit(3);
    return mapped;
}

static void go_on(char **a, int count)
{
    shared = map_shared(FD_SHARED);
    for (int i = 0; i < SLOTS; i++) {
        const int fd = i < count - 3 ? atoi(a[3 + i]) : -1;
        /* Whose number went with exec names nothing: the next to get it may be a stream's. */
        context.fds[i] = fd >= 0 && fcntl(fd, F_GETFD) >= 0 ? fd : -1;
    }
    context.observed = &shared->observed;
    run_lines(&context, (uint32_t)strtoul(a[0], NULL, 10), (uint32_t)strtoul(a[1], NULL, 10),
              atoi(a[2]));
    context_clear(&context);
}

/* Our own descriptors go out of the way; 0, 1 and 2 become what every program may count on. */
static FILE *arrange(void)
{
    const char *control = getenv("ORACLE_CONTROL");
    const int in = fcntl(0, F_DUPFD_CLOEXEC, FD_ANSWERS + 1);
    const int memory = memfd_create("oracle", 0);
    if (in < 0 || memory < 0 || ftruncate(memory, sizeof *shared) != 0 ||
        dup2(memory, FD_SHARED) < 0 || dup2(1, FD_OUT) < 0)
        exit(3);
    close(memory);
    if (control != NULL) {
        const char *answers = strchr(control, ',');
        if (answers == NULL || dup2(atoi(control), FD_CONTROL) < 0 ||
            dup2(atoi(answers + 1), FD_ANSWERS) < 0)
            exit(3);
    }
    close(0);
    close(1);
    if (open("/dev/null", O_RDONLY) != 0 || open("/dev/null", O_WRONLY) != 1)
        exit(3);
    close_range(3, FD_OUT - 1, 0);
    return fdopen(in, "r");
}

int main(int argc, char **argv)
{
    if (argc > 4 && strcmp(argv[1], "-r") == 0) {
        go_on(argv + 2, argc - 2);
        return 0;
    }
    if (argc < 3 || realpath(argv[1], home) == NULL || realpath(argv[2], outside) == NULL ||
        chdir(home) != 0)
        return 3;
    FILE *in = arrange();
    shared = map_shared(FD_SHARED);
    shared->with_times = argc > 3;
    if (realpath("..", shared->above) == NULL)
        return 3;
    if (in == NULL || readlink("/proc/self/exe", shared->program, sizeof shared->program - 1) < 0)
        return 3;
    serve(in);
    return 0;
}
