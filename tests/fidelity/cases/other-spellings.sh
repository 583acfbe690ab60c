# functions of libc under names of its own first years, and in the versions of then
# needs: gcc
mkdir -p src
cat > src/m.c <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __x86_64__
#define FIRST "GLIBC_2.2.5"
#define OLD(name) __asm__(".symver old_" #name "," #name "@" FIRST)
#else
#define FIRST "GLIBC_2.17"
#define OLD(name) __asm__(".set old_" #name "," #name)
#endif
char *old_realpath(const char *, char *);
int old_glob(const char *, int, int (*)(const char *, int), glob_t *);
int old_nftw(const char *, __nftw_func_t, int, int);
int old_posix_spawn(pid_t *, const char *, const posix_spawn_file_actions_t *,
                    const posix_spawnattr_t *, char *const[], char *const[]);
OLD(realpath);
OLD(glob);
OLD(nftw);
OLD(posix_spawn);
FILE *_IO_fopen(const char *, const char *);
int _IO_fclose(FILE *);
extern char **environ;

static int visited;
static int visit(const char *path, const struct stat *stat, int type, struct FTW *where)
{
    visited += type == FTW_F;
    return 0;
}

static void all(char *(*to_real)(const char *, char *), typeof(old_glob) *expand,
                typeof(old_nftw) *walk, typeof(old_posix_spawn) *start)
{
    char path[4096];
    errno = 0;
    printf("realpath %d\n", to_real("build/link", path) == path);
    puts(strrchr(path, '/'));
    glob_t found = {0};
    printf("glob %d", expand("build/*", 0, NULL, &found));
    printf(" %zu %s\n", found.gl_pathc, found.gl_pathc ? found.gl_pathv[0] : "");
    visited = 0;
    printf("nftw %d", walk("build", visit, 4, FTW_PHYS));
    printf(" %d\n", visited);
    int status = 0;
    pid_t pid = 0;
    char *words[] = {"script", NULL};
    int rc = start(&pid, "build/script", NULL, NULL, words, environ);
    if (rc == 0)
        waitpid(pid, &status, 0);
    printf("spawn: %d, status %d\n", rc, WEXITSTATUS(status));
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    FILE *file = _IO_fopen("build/a", "w");
    fputs("text\n", file);
    _IO_fclose(file);
    file = fopen("build/script", "w");
    fputs("#!/bin/sh\nexit 7\n", file);
    fchmod(fileno(file), 0755);
    fclose(file);
    (void)!symlink("a", "build/link");
    (void)!symlink("nowhere", "build/dangling");
    file = _IO_fopen("build/a", "r");
    printf("%d\n", file == NULL ? -1 : fgetc(file));
    puts("bound:");
    all(old_realpath, old_glob, old_nftw, old_posix_spawn);
    puts("asked for:");
    void *libc = dlopen("libc.so.6", RTLD_LAZY);
    all(dlvsym(libc, "realpath", FIRST), dlvsym(libc, "glob", FIRST), dlvsym(libc, "nftw", FIRST),
        dlvsym(libc, "posix_spawn", FIRST));
    puts("new:");
    all(realpath, glob, nftw, posix_spawn);
    FILE *(*by_name)(const char *, const char *) = dlsym(libc, "_IO_fopen");
    printf("%d\n", by_name("build/a", "r") != NULL);
    return 0;
}
C
gcc -w -o src/m src/m.c -ldl && ./src/m
rm -r src
