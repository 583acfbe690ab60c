/* process.c - who performs operations: children, programs started anew, threads, another user.
 *
 *   fork ... join      the lines between in a child, which is waited for
 *   vfork ... join     in a program started by vfork and exec, with the descriptors it inherits
 *   spawn ... join     the same by posix_spawn
 *   exec               this process starts over as a new program, with the next line
 *   parallel, lane ..., lane ..., join
 *                      each lane in a thread of its own, at the same time, in a directory of its own
 *   thread OPERATION   one operation in another thread */
#include "oracle.h"

#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void flush_line(struct context *c)
{
    if (c->used > 0)
        run_line(c, NULL, 0);
}

uint32_t next_line(uint32_t at)
{
    const char *end = memchr(shared->script + at, '\n', shared->length - at);
    return end == NULL ? shared->length : (uint32_t)(end - shared->script) + 1;
}

static int starts(uint32_t at, const char *word)
{
    const size_t length = strlen(word);
    const char *line = shared->script + at;
    return shared->length - at > length && memcmp(line, word, length) == 0 &&
           (line[length] == '\n' || line[length] == ' ');
}

int is_block(const char *word)
{
    return strcmp(word, "fork") == 0 || strcmp(word, "vfork") == 0 || strcmp(word, "spawn") == 0 ||
           strcmp(word, "parallel") == 0;
}

/* The line of the join that ends a block whose first line is `at`, or `to`. */
static uint32_t find_join(uint32_t at, uint32_t to, int *lines)
{
    int depth = 1;
    for (*lines = 0; at < to; at = next_line(at), ++*lines) {
        if (starts(at, "join") && --depth == 0)
            return at;
        depth += starts(at, "fork") || starts(at, "vfork") || starts(at, "spawn") ||
                 starts(at, "parallel");
    }
    return to;
}

static void say_end(struct context *c, pid_t pid)
{
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        say_result(c, -1);
    else if (WIFSIGNALED(status))
        say(c, " killed %d", WTERMSIG(status));
    else
        say(c, " ended %d", WEXITSTATUS(status));
}

/* ---- programs started anew ------------------------------------------------------------------- */

struct words {
    char text[SLOTS + 4][256];
    char *list[SLOTS + 6];
};

/* oracle -r FROM TO LINE slots... */
static void resume_words(struct words *words, const struct context *c, uint32_t from, uint32_t to,
                         int line)
{
    snprintf(words->text[0], sizeof words->text[0], "-r");
    snprintf(words->text[1], sizeof words->text[1], "%u", from);
    snprintf(words->text[2], sizeof words->text[2], "%u", to);
    snprintf(words->text[3], sizeof words->text[3], "%d", line);
    for (int i = 0; i < SLOTS; i++)
        snprintf(words->text[4 + i], sizeof words->text[0], "%d", c->fds[i]);
    words->list[0] = shared->program;
    for (int i = 0; i < SLOTS + 4; i++)
        words->list[1 + i] = words->text[i];
    words->list[SLOTS + 5] = NULL;
}

static pid_t start_by_vfork(struct words *words)
{
    const pid_t pid = vfork();
    if (pid == 0) {
        execv(shared->program, words->list);
        _exit(127);
    }
    return pid;
}

static pid_t start_by_spawn(struct words *words)
{
    pid_t pid;
    errno = posix_spawn(&pid, shared->program, NULL, NULL, words->list, environ);
    return errno == 0 ? pid : -1;
}

static void op_exec_at(struct context *c, uint32_t from, uint32_t to, int line)
{
    struct words words;
    resume_words(&words, c, from, to, line);
    execv(shared->program, words.list);
    say_result(c, -1);
}

/* ---- lanes ----------------------------------------------------------------------------------- */

struct lane {
    pthread_t thread;
    struct context *context;
    uint32_t from, to;
    int line;
    char name[8];
};

static void *run_lane(void *argument)
{
    struct lane *lane = argument;
    run_lines(lane->context, lane->from, lane->to, lane->line);
    context_clear(lane->context);
    return NULL;
}

static void finish_lane(struct lane *lane)
{
    pthread_join(lane->thread, NULL);
    if (lane->context->collected_length > 0 &&
        write(FD_OUT, lane->context->collected, lane->context->collected_length) < 0)
        _exit(4);
    free(lane->context->collected);
    free(lane->context->observed);
    free(lane->context);
}

static void run_lanes(struct context *c, uint32_t at, uint32_t to, int line)
{
    struct lane lanes[LANES_MAX];
    int count = 0;
    while (at < to && count < LANES_MAX) {
        struct lane *lane = &lanes[count];
        snprintf(lane->name, sizeof lane->name, "l%d", count);
        lane->line = ++line;
        lane->from = lane->to = next_line(at); /* `at` is the word lane */
        while (lane->to < to && !starts(lane->to, "lane"))
            lane->to = next_line(lane->to), line++;
        at = lane->to;
        lane->context = calloc(1, sizeof *lane->context);
        lane->context->lane = lane->name;
        lane->context->observed = calloc(1, sizeof *lane->context->observed);
        lane->context->observed->newest_ns = c->observed->newest_ns;
        for (int i = 0; i < SLOTS; i++)
            lane->context->fds[i] = -1;
        count++;
    }
    for (int i = 0; i < count; i++)
        mkdir(lanes[i].name, 0755);
    for (int i = 0; i < count; i++)
        pthread_create(&lanes[i].thread, NULL, run_lane, &lanes[i]);
    for (int i = 0; i < count; i++)
        finish_lane(&lanes[i]);
    say(c, " lanes %d", count);
}

/* ---- blocks ---------------------------------------------------------------------------------- */

/* Runs a block whose word stands before `from`; returns where the script goes on. */
uint32_t run_block(struct context *c, const char *word, uint32_t from, uint32_t to, int *line)
{
    int lines;
    const uint32_t join = find_join(from, to, &lines);
    if (strcmp(word, "fork") == 0) {
        const pid_t pid = fork();
        if (pid == 0) {
            c->used = 0;
            run_lines(c, from, join, *line);
            context_clear(c);
            _exit(0);
        }
        say_end(c, pid);
    } else if (strcmp(word, "parallel") == 0) {
        run_lanes(c, from, join, *line);
    } else {
        struct words words;
        resume_words(&words, c, from, join, *line);
        say_end(c, word[0] == 'v' ? start_by_vfork(&words) : start_by_spawn(&words));
    }
    *line += lines + 1;
    return next_line(join);
}

/* ---- single operations ----------------------------------------------------------------------- */

struct job {
    struct context *context;
    char **words;
};

static void *run_job(void *argument)
{
    const struct job *job = argument;
    char text[LINE_MAX_BYTES / 4];
    size_t used = 0;
    for (char **word = job->words; *word != NULL; word++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s ", *word);
    run_line(job->context, text, used);
    return NULL;
}

static void op_thread(struct context *c, char **a)
{
    pthread_t thread;
    struct job job = {c, a};
    if (pthread_create(&thread, NULL, run_job, &job) == 0)
        pthread_join(thread, NULL);
}

static void op_exec(struct context *c, char **a)
{
    (void)a;
    /* The next line begins where this one, which runs, ends. */
    flush_line(c);
    uint32_t at = 0;
    for (int line = 1; line <= c->line; line++)
        at = next_line(at);
    op_exec_at(c, at, shared->length, c->line);
}

static void op_become(struct context *c, char **a)
{
    const uid_t uid = (uid_t)number(a[0]);
    if (setgroups(0, NULL) != 0 || setresgid(uid, uid, uid) != 0)
        say(c, " groups kept");
    say_result(c, setresuid(uid, uid, (uid_t)-1)); /* not for good: as main.c has it */
}

static void op_system(struct context *c, char **a)
{
    char command[PATH_BYTES + 64];
    snprintf(command, sizeof command, "exec 2>/dev/null; cat < '%s' > '%s'", path_of(c, a[0]),
             path_of(c, a[1]));
    say_result(c, system(command));
}

/* state PATH WHAT: whoever has the other ends of the control pipes brings the file there. Natively
 * nobody has, and nothing happens; the look at the file is made on both sides. */
static void op_state(struct context *c, char **a)
{
    struct stat st;
    char message[MESSAGE_BYTES] = {0}, answer = 0;
    if (lstat(path_of(c, a[0]), &st) != 0 || !S_ISREG(st.st_mode)) {
        say(c, " none");
        return;
    }
    snprintf(message, sizeof message, "%llu %s", (unsigned long long)st.st_ino, a[1]);
    if (write(FD_CONTROL, message, sizeof message) == sizeof message)
        if (read(FD_ANSWERS, &answer, 1) != 1)
            _exit(5);
}

/* The end of a block that a shortened script has lost the beginning of. */
static void op_nothing(struct context *c, char **a)
{
    (void)a;
    say(c, " nothing");
}

const struct operation_name process_operations[] = {
    {"join", 0, op_nothing}, {"lane", 0, op_nothing},  {"thread", 1, op_thread},
    {"exec", 0, op_exec},    {"become", 1, op_become}, {"system", 2, op_system},
    {"state", 2, op_state},  {NULL, 0, NULL},
};
