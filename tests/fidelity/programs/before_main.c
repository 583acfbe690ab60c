/* What a program does before libc has its environment, and after main: in the array of functions that run first,
 * and the last destructor. */
#include "say.h"

static void note(const char *moment)
{
    const int fd = open("moments", O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (fd < 0 || write(fd, moment, strlen(moment)) < 0 || write(fd, "\n", 1) < 0)
        _exit(1);
    close(fd);
}

static void first(int count, char **arguments, char **environment)
{
    (void)count, (void)arguments, (void)environment;
    note("before all constructors");
    if (mkdir("early", 0755) != 0 || rename("old/a", "early/a") != 0)
        _exit(1);
}
__attribute__((section(".preinit_array"), used)) static void (*const firsts[])(int, char **,
                                                                               char **) = {first};

__attribute__((constructor)) static void before(void)
{
    note("constructor");
}

__attribute__((destructor)) static void last(void)
{
    note("destructor");
}

/* The first time it makes what the second has to find, in memory. */
int main(int count, char **arguments)
{
    show_file("moments");
    show_file("early/a");
    if (count == 1) {
        SAY(rename("early/a", "old/a"));
        SAY(rmdir("early"));
        return execl("/proc/self/exe", arguments[0], "again", NULL);
    }
    SAY(access("old/a", F_OK));
    return 0;
}
