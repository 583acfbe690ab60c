# a copy of libc elsewhere: another libc in the same name space
# needs: gcc
mkdir -p src/copy
cp "$(gcc -print-file-name=libc.so.6)" src/copy/libc.so.6
cp src/copy/libc.so.6 src/other.so
cat > src/m.c <<'C'
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
int main(int count, char **words)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i < count; i++) {
        char text[16] = "";
        FILE *file = fopen("build/a", "w");
        fprintf(file, "file %d\n", i);
        fclose(file);
        void *copy = dlopen(words[i], RTLD_NOW | RTLD_LOCAL);
        if (copy == NULL)
            return puts(dlerror()), 1;
        int (*by_name)(const char *, int, ...) = dlsym(copy, "open");
        long (*by_number)(long, ...) = dlsym(copy, "syscall");
        int fd = by_name("build/a", O_RDONLY);
        if (fd >= 0)
            (void)!read(fd, text, 15), close(fd);
        printf("%d %s", fd >= 0, text);
        printf("%ld\n", by_number(21, "build/a", R_OK)); /* access on x86-64, EINVAL elsewhere */
    }
    return 0;
}
C
gcc -w -o src/m src/m.c -ldl && ./src/m ./src/copy/libc.so.6 ./src/other.so
rm -r src
