/* launcher.c - the program `velo`: starts the interpreter that velo is installed in, and nothing else.
 *
 * In    the command line; an environment that may be meant for another interpreter
 * Out   `python -E -P -m velo.router.cli ARGUMENTS` in this process, environment unchanged: what the
 *       user's PYTHON* variables say is for the programs that velo starts, not for velo
 *       Where limits (ulimit) leave no room for an interpreter, or this user may not run it: one line, and
 *       `velo exec -- COMMAND` is COMMAND, unless that was forbidden (--require) or memory may hold what COMMAND should see
 * Never a traceback for a Ctrl-C in the middle of the interpreter's start: SIGINT is held until
 *       router/cli.py is ready to end well (-X velo_held tells it so); nor a command that finds other
 *       things than velo did, by what the interpreter changes (the other options: router/given.py)
 *
 * The interpreter is the one beside this program (a virtual environment has it there), else python3
 * along PATH.  A script would do for all of this but the signal. */
#define _GNU_SOURCE 1 /* memrchr */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel/sha256.h"
#include "kernel/text.h"

#define OURS 13 /* words of the command line before the user's */
#define CANNOT_START 125
#define NOT_EXECUTABLE 126
#define NOT_FOUND 127

/* Below these an interpreter with our modules ends in a traceback, or before it has one: twice what was measured
 * (Python 3.11, x86-64: 28 MB, 14 MB, 32 KB), and one descriptor more. */
static const struct limit {
    int number;
    rlim_t least;
    const char *name;
} limits[] = {
    {RLIMIT_AS, 64 << 20, "AS ('ulimit -v')"},
    {RLIMIT_DATA, 32 << 20, "DATA ('ulimit -d')"},
    {RLIMIT_STACK, 64 << 10, "STACK ('ulimit -s')"},
    {RLIMIT_NOFILE, 6, "NOFILE ('ulimit -n')"},
};

static int held; /* SIGINT was not blocked before we did */

static void hold_interrupts(void)
{
    sigset_t interrupt, before;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    if (sigprocmask(SIG_BLOCK, &interrupt, &before) == 0)
        held = !sigismember(&before, SIGINT);
}

/* "-X name=value" or, without a value, "-X name". */
static int option(char **words, const char *name, const char *value)
{
    char *text = malloc(strlen(name) + (value == NULL ? 0 : strlen(value)) + 2);
    if (text == NULL)
        return 0;
    strcpy(text, name);
    if (value != NULL)
        strcat(strcat(text, "="), value);
    words[0] = "-X";
    words[1] = text;
    return 2;
}

/* The interpreter ignores these, too. */
static int tell_ignored(char **words)
{
    static const int numbers[] = {SIGPIPE, SIGXFSZ};
    char text[32] = "";
    for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct sigaction action;
        if (sigaction(numbers[i], NULL, &action) == 0 && action.sa_handler == SIG_IGN)
            sprintf(text + strlen(text), "%s%d", text[0] != 0 ? "," : "", numbers[i]);
    }
    return text[0] != 0 ? option(words, "velo_ignored", text) : 0;
}

/* It does not start when its standard input is a directory. */
static int hide_directory(char **words)
{
    struct stat stat;
    char text[16];
    if (fstat(0, &stat) != 0 || !S_ISDIR(stat.st_mode))
        return 0;
    const int kept = fcntl(0, F_DUPFD, 3), null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (kept < 0 || null < 0 || dup2(null, 0) < 0)
        return 0;
    sprintf(text, "%d", kept);
    return option(words, "velo_directory", text);
}

/* "python3" in the directory of this program, be it a symlink that leads nowhere; false: it is not there. */
static int beside_us(char path[PATH_MAX])
{
    static const char name[] = "python3";
    const ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - sizeof name);
    if (length <= 0)
        return 0;
    path[length] = 0;
    char *slash = strrchr(path, '/');
    if (slash == NULL)
        return 0;
    strcpy(slash + 1, name);
    struct stat stat;
    return lstat(path, &stat) == 0;
}

/* These texts, up to a NULL, as one line. Not by stdio: that takes 8 KiB of a stack that may have 16. */
__attribute__((sentinel)) static void say(const char *text, ...)
{
    static char line[1024];
    size_t length = 0;
    va_list more;
    va_start(more, text);
    for (; text != NULL; text = va_arg(more, const char *))
        for (; *text != 0 && length < sizeof line - 1; text++)
            line[length++] = *text;
    va_end(more);
    line[length++] = '\n';
    if (write(STDERR_FILENO, line, length) < 0)
        return; /* a closed stderr is no error */
}

/* A limit that leaves no room for the interpreter, and what it is; NULL: none. */
static const struct limit *too_low(rlim_t *is)
{
    struct rlimit found;
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        if (getrlimit((__rlimit_resource_t)limits[i].number, &found) == 0 &&
            found.rlim_cur < limits[i].least) {
            *is = found.rlim_cur;
            return &limits[i];
        }
    return NULL;
}

/* A program outside may miss what is in the memory of its workspace. Where that is: router/arena.py. `root` is there. */
static int has_memory(const char *root, const char *workspace)
{
    struct velo_sha256 hash;
    uint8_t digest[VELO_SHA256_BYTES];
    static char path[PATH_MAX + sizeof "/" + VELO_HEX_MAX]; /* not on that stack */
    velo_sha256_begin(&hash);
    velo_sha256_add(&hash, workspace, strlen(workspace));
    velo_sha256_end(&hash, digest);
    velo_write_hex(stpcpy(stpcpy(path, root), "/"), digest, 8);
    return access(path, F_OK) == 0;
}

/* The workspace is the nearest directory upward with a velo.toml, else the current one. */
static int memory_may_hold_something(void)
{
    static const char shared[] = "/dev/shm/velo-", toml[] = "/velo.toml";
    static char here[PATH_MAX], file[PATH_MAX + sizeof toml], own[sizeof shared + VELO_DECIMAL_MAX];
    const char *root = getenv("VELO_RUNTIME_DIR");
    if (root == NULL || *root == 0) {
        velo_write_decimal(stpcpy(own, shared), getuid());
        root = own;
    }
    if (access(root, F_OK) != 0 || getcwd(here, sizeof here) == NULL)
        return 0;
    for (size_t length = strlen(here);;
         length = (size_t)((char *)memrchr(here, '/', length) - here)) {
        memcpy(file, here, length);
        memcpy(file + length, toml, sizeof toml);
        const int found = access(file, F_OK) == 0;
        if (found)
            here[length == 0 ? 1 : length] = 0;
        if (found || length == 0)
            return has_memory(root, here);
    }
}

/* It must run with us (--require), or in a workspace of which we do not know (-C). */
static int forbids(const char *flag)
{
    return strcmp(flag, "--require") == 0 || strncmp(flag, "-C", 2) == 0 ||
           strncmp(flag, "--workspace", 11) == 0;
}

/* The command of `velo exec [FLAGS] -- COMMAND`, when it may run without us; else NULL. */
static char **command_alone(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "exec") != 0)
        return NULL;
    for (int i = 2; i < argc && !forbids(argv[i]); i++)
        if (strcmp(argv[i], "--") == 0)
            return argv[i + 1] != NULL && !memory_may_hold_something() ? argv + i + 1 : NULL;
    return NULL;
}

/* No interpreter, as these three tell: the exit status, unless we become the command. */
static int without_interpreter(int argc, char **argv, const char *what, const char *is,
                               const char *more)
{
    char **command = command_alone(argc, argv);
    say("velo: not started: ", what, is, more, command != NULL ? "; " : "",
        command != NULL ? command[0] : "",
        command != NULL ? " runs natively, nothing is hosted" : "", NULL);
    if (command == NULL)
        return argc > 1 && strcmp(argv[1], "exec") == 0 ? CANNOT_START : EXIT_FAILURE;
    execvp(command[0], command);
    const int number = errno;
    say("velo: cannot run ", command[0], ": ", strerror(number), NULL);
    return number == ENOENT || number == ENOTDIR ? NOT_FOUND : NOT_EXECUTABLE;
}

static int without_room(int argc, char **argv, const struct limit *low, rlim_t is)
{
    static char what[64];
    char has[VELO_DECIMAL_MAX], needs[VELO_DECIMAL_MAX + 32];
    stpcpy(stpcpy(stpcpy(what, "the limit "), low->name), " is ");
    velo_write_decimal(has, is);
    velo_write_decimal(stpcpy(needs, ", and velo needs "), low->least);
    return without_interpreter(argc, argv, what, has, needs);
}

int main(int argc, char **argv)
{
    rlim_t is = 0;
    const struct limit *low = too_low(&is);
    if (low != NULL)
        return without_room(argc, argv, low, is);
    static char python[PATH_MAX];
    const int known = beside_us(python);
    if (known && access(python, X_OK) != 0) /* it leads into a home, or to one that was removed */
        return without_interpreter(
            argc, argv, python, ", in which velo is installed, cannot be run: ", strerror(errno));
    char **words = calloc((size_t)argc + OURS + 1, sizeof *words);
    if (words == NULL)
        return CANNOT_START;
    hold_interrupts();
    int count = 0;
    words[count++] = known ? python : "python3";
    words[count++] = "-E"; /* PYTHONHOME, PYTHONPATH and the like */
    words[count++] = "-P"; /* no module of the current directory */
    if (held) {
        words[count++] = "-X";
        words[count++] = "velo_held";
    }
    count += option(words + count, "velo_ctype", getenv("LC_CTYPE"));
    count += tell_ignored(words + count);
    count += hide_directory(words + count);
    words[count++] = "-m";
    words[count++] = "velo.router.cli";
    for (int i = 1; i < argc; i++)
        words[count++] = argv[i];
    if (known)
        execv(python, words);
    else
        execvp(words[0], words);
    fprintf(stderr, "velo: cannot start python3: %s; velo needs the one that it is installed in\n",
            strerror(errno));
    return CANNOT_START;
}
