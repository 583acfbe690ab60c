# a library that asks libc before the whole program (RTLD_DEEPBIND): bound at once, at the first call,
# through pointers in its data, in its constructor, and in a library that it needs
# needs: gcc
mkdir -p src
cat > src/x.c <<'C'
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
int (*const pointer)(const char *, mode_t) = mkdir;
int (*changing)(const char *, const char *) = rename;
int below(const char *path);
static int at_start;
#ifdef TOP
__attribute__((constructor)) static void start(void)
{
    at_start = access("build/early", R_OK);
    FILE *file = fopen("build/by_constructor", "w");
    fputs("constructed\n", file);
    fclose(file);
}
#endif
int NAME(const char *path)
{
    char text[64];
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        return -errno;
    int got = read(fd, text, 63);
    close(fd);
    FILE *file = fopen("build/by_library", "a");
    fprintf(file, "%s\n", path);
    fclose(file);
    char made[64];
    snprintf(made, sizeof made, "%s.d", path);
    int first = pointer(made, 0755), second = changing(path, "build/renamed");
    changing("build/renamed", path);
#ifdef TOP
    return got * 1000 + first * 100 + second * 10 + at_start + below(path);
#else
    return got * 1000 + first * 100 + second * 10;
#endif
}
C
cat > src/m.c <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int main(int count, char **words)
{
    FILE *early = fopen("build/early", "w"), *file;
    fputs("early\n", early);
    fclose(early);
    int flags = (strcmp(words[2], "now") == 0 ? RTLD_NOW : RTLD_LAZY) | RTLD_DEEPBIND;
    void *library = dlopen(words[1], flags);
    if (library == NULL)
        return puts(dlerror()), 1;
    int (*top)(const char *) = dlsym(library, "top");
    for (int i = 0; i < 3; i++) {
        char path[64];
        snprintf(path, sizeof path, "build/%s-%d", words[2], i);
        file = fopen(path, "w");
        fputs("hello\n", file);
        fclose(file);
        printf("top %d\n", top(path));
    }
    file = fopen("build/by_constructor", "r");
    char text[64] = "";
    if (file != NULL)
        fgets(text, sizeof text, file), fclose(file);
    printf("constructor: %s", text);
    dlclose(library);
    printf("again: %d\n", dlopen(words[1], flags) != NULL);
    return access("build/by_library", R_OK);
}
C
for relro in norelro relro,-z,now relro,-z,lazy; do
    gcc -shared -fPIC -DNAME=below -Wl,-z,$relro -o src/libbelow.so src/x.c
    gcc -shared -fPIC -DTOP -DNAME=top -Wl,-z,$relro -o src/x.so src/x.c -Lsrc -lbelow \
        -Wl,-rpath,"$PWD/src"
    gcc -o src/m src/m.c -ldl
    for bind in now lazy; do
        ./src/m ./src/x.so $bind
        ls build
        cat build/by_library
        rm -r build/*
    done
done
./src/m no/such/library.so now
rm -r src
