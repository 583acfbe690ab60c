# files that are open to be written when a second libc is loaded are seen by it as they grow
# needs: gcc
mkdir -p src
cat > src/x.c <<'C'
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
int peek(const char *path)
{
    char text[64];
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        return -errno;
    int got = read(fd, text, 63);
    close(fd);
    return got;
}
C
cat > src/m.c <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
int main(void)
{
    FILE *file = fopen("build/stream", "w");
    int fd = open("build/file", O_RDWR | O_CREAT, 0644);
    fputs("before\n", file);
    fflush(file);
    (void)!write(fd, "one\n", 4);
    void *library = dlmopen(LM_ID_NEWLM, "./src/x.so", RTLD_NOW);
    int (*peek)(const char *) = dlsym(library, "peek");
    printf("before: %d %d\n", peek("build/stream"), peek("build/file"));
    fputs("after\n", file);
    fflush(file);
    (void)!write(fd, "two\n", 4);
    printf("after: %d %d\n", peek("build/stream"), peek("build/file"));
    fputs("more\n", file);
    fclose(file);
    close(fd);
    printf("closed: %d %d\n", peek("build/stream"), peek("build/file"));
    return 0;
}
C
gcc -w -shared -fPIC -o src/x.so src/x.c
gcc -w -o src/m src/m.c -ldl && ./src/m
cat build/*
rm -r src
