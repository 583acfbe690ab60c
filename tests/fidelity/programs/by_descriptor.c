/* Running programs by descriptor, and where one stands after its directory moved or went. */
#include <limits.h>

#include "say.h"

extern char **environ;

static void where(const char *when, const char *base)
{
    char path[PATH_MAX];
    errno = 0;
    if (getcwd(path, sizeof path) == NULL) {
        say(when, -1);
        return;
    }
    printf("%s: %s\n", when, strncmp(path, base, strlen(base)) == 0 ? path + strlen(base) : path);
}

int main(void)
{
    char base[PATH_MAX];
    if (getcwd(base, sizeof base) == NULL)
        return 1;
    char *argv[] = {"name", "argument", NULL};
    write_file("script",
               "#!/bin/sh\necho script $1; case $0 in /dev/fd/*) echo by number;; esac\n");
    chmod("script", 0755);
    IN_CHILD("script", {
        fexecve(open("script", O_RDONLY), argv, environ);
        say("fexecve", -1);
    });
    IN_CHILD("script, closed on exec", {
        fexecve(open("script", O_RDONLY | O_CLOEXEC), argv, environ);
        say("fexecve", -1);
    });
    IN_CHILD("no program", {
        write_file("data", "text");
        fexecve(open("data", O_RDONLY), argv, environ);
        say("fexecve", -1);
    });
    IN_CHILD("copy of a program", {
        if (system("cp /bin/echo tool") != 0)
            _exit(1);
        const int fd = open("tool", O_RDONLY | O_CLOEXEC);
        rename("tool", "renamed");
        fexecve(fd, argv, environ);
        say("fexecve", -1);
    });
    IN_CHILD("O_PATH", {
        fexecve(open("renamed", O_PATH | O_CLOEXEC), argv, environ);
        say("fexecve", -1);
    });
    IN_CHILD("unlinked program", {
        const int fd = open("renamed", O_RDONLY | O_CLOEXEC);
        unlink("renamed");
        fexecve(fd, argv, environ);
        say("fexecve", -1);
    });
    IN_CHILD("not executable", {
        chmod("script", 0644);
        fexecve(open("script", O_RDONLY), argv, environ);
        say("fexecve", -1);
    });

    mkdir("a", 0755), mkdir("a/b", 0755);
    chdir("a/b");
    where("in", base);
    rename("../../a", "../../z");
    where("moved above", base);
    write_file("f", "relative");
    rename("../b", "../c");
    where("moved", base);
    show_file("f");
    show_file("../c/f");
    IN_CHILD("child stands there, too", where("child", base));
    SAY(symlink("z/c", "../../link"));
    SAY(chdir("../../link"));
    where("through a link", base);
    unlink("f");
    SAY(rmdir("../c"));
    where("removed", base);
    SAY(open("new", O_WRONLY | O_CREAT, 0644));
    SAY(access(".", F_OK));
    SAY(access("..", F_OK));
    SAY(mkdir("new", 0755));
    SAY(rmdir("."));
    IN_CHILD("exec from nowhere", execl("/bin/sh", "sh", "-c", "echo here; ls -a | wc -l", NULL));
    SAY(chdir(".."));
    where("up", base);
    return 0;
}
