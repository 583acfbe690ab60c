# each way to ask the loader for a function of libc by its name, from a program and from a library
# needs: gcc
mkdir -p src
cat > src/ask.c <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifdef __aarch64__
#define FIRST "GLIBC_2.17"
#else
#define FIRST "GLIBC_2.2.5"
#endif

typedef int open_(const char *, int, ...);
typedef int rename_(const char *, const char *);
typedef int access_(const char *, int);

static void try(const char *who, const char *way, void *found, void *moves, void *looks)
{
    char a[64], b[64], text[16] = "";
    snprintf(a, sizeof a, "build/%s-%s", who, way);
    snprintf(b, sizeof b, "build/%s-%s.moved", who, way);
    FILE *file = fopen(a, "w"); /* in memory only */
    fputs("text\n", file);
    fclose(file);
    int fd = found == NULL ? -1 : ((open_ *)found)(a, O_RDONLY);
    if (fd >= 0)
        (void)!read(fd, text, sizeof text - 1), close(fd);
    printf("%s %s: open %d %s", who, way, fd >= 0, text);
    printf("rename %d, access %d\n", moves ? ((rename_ *)moves)(a, b) : 9,
           looks ? ((access_ *)looks)(b, R_OK) : 9);
    printf("seen by others: %d %d\n", access(a, F_OK), access(b, F_OK));
}

void ask_all(const char *who)
{
    void *libc = dlopen("libc.so.6", RTLD_LAZY), *all = dlopen(NULL, RTLD_LAZY);
#define BY(way, f) try(who, way, f("open"), f("rename"), f("access"))
#define HANDLE(name) dlsym(libc, name)
#define ALL(name) dlsym(all, name)
#define DEFAULT(name) dlsym(RTLD_DEFAULT, name)
#define NEXT(name) dlsym(RTLD_NEXT, name)
#define V_HANDLE(name) dlvsym(libc, name, FIRST)
#define V_ALL(name) dlvsym(all, name, FIRST)
#define V_DEFAULT(name) dlvsym(RTLD_DEFAULT, name, FIRST)
#define V_NEXT(name) dlvsym(RTLD_NEXT, name, FIRST)
    BY("handle", HANDLE);
    BY("all", ALL);
    BY("default", DEFAULT);
    BY("next", NEXT);
    BY("version-handle", V_HANDLE);
    BY("version-all", V_ALL);
    BY("version-default", V_DEFAULT);
    BY("version-next", V_NEXT);
    void *(*by_pointer)(void *, const char *) = dlsym(libc, "dlsym");
#define POINTER(name) by_pointer(libc, name)
    BY("pointer", POINTER);
    void *none = dlsym(libc, "no_such_function");
    printf("%s none: %p %d\n", who, none, strstr(dlerror(), "no_such_function") != NULL);
    none = dlvsym(libc, "open", "GLIBC_9.9");
    printf("%s no version: %p %d\n", who, none, dlerror() != NULL);
    none = dlvsym(RTLD_DEFAULT, "open", "GLIBC_9.9");
    printf("%s no version: %p\n", who, none);
}
C
cat > src/main.c <<'C'
#include <dlfcn.h>
#include <stdio.h>
void ask_all(const char *who);
int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    ask_all("linked");
    void *library = dlopen("./src/own.so", RTLD_NOW);
    if (library == NULL)
        return puts(dlerror()), 1;
    ((void (*)(const char *))dlsym(library, "ask_all"))("loaded");
    return 0;
}
C
gcc -shared -fPIC -o src/libask.so src/ask.c -ldl
gcc -shared -fPIC -Wl,-Bsymbolic -o src/own.so src/ask.c -ldl
gcc -o src/linked src/main.c -Lsrc -lask -Wl,-rpath,"$PWD/src" -ldl && ./src/linked
gcc -o src/whole src/main.c src/ask.c -ldl && ./src/whole
rm -r src
