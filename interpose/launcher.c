/* launcher.c - the program `velo`: starts the interpreter that velo is installed in, and nothing else.
 *
 * In    the command line; an environment that may be meant for another interpreter
 * Out   `python -E -P -m velo.router.cli ARGUMENTS` in this process, environment unchanged: what the
 *       user's PYTHON* variables say is for the programs that velo starts, not for velo
 * Never a traceback for a Ctrl-C in the middle of the interpreter's start: SIGINT is held until
 *       router/cli.py is ready to end well (-X velo_held tells it so)
 *
 * The interpreter is the one beside this program (a virtual environment has it there), else python3
 * along PATH.  A script would do for all of this but the signal. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OURS 7 /* words of the command line before the user's */
#define CANNOT_START 125

static int held; /* SIGINT was not blocked before we did */

static void hold_interrupts(void)
{
    sigset_t interrupt, before;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    if (sigprocmask(SIG_BLOCK, &interrupt, &before) == 0)
        held = !sigismember(&before, SIGINT);
}

/* "python3" in the directory of this program, symlinks followed; false: it is not there. */
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
    return access(path, X_OK) == 0;
}

int main(int argc, char **argv)
{
    char python[PATH_MAX];
    char **words = calloc((size_t)argc + OURS + 1, sizeof *words);
    if (words == NULL)
        return CANNOT_START;
    hold_interrupts();
    const int known = beside_us(python);
    int count = 0;
    words[count++] = known ? python : "python3";
    words[count++] = "-E"; /* PYTHONHOME, PYTHONPATH and the like */
    words[count++] = "-P"; /* no module of the current directory */
    if (held) {
        words[count++] = "-X";
        words[count++] = "velo_held";
    }
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
