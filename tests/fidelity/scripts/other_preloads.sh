# A library that changes what stat says, preloaded before us, behind us, by a shell, by a program, for a
# child: it is asked for hosted files, too.
cd build
cat > hook.c <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/stat.h>
int stat(const char *path, struct stat *out)
{
    int (*next)(const char *, struct stat *) = dlsym(RTLD_NEXT, "stat");
    const int rc = next(path, out);
    if (rc == 0)
        out->st_size = 4242;
    return rc;
}
C
gcc -shared -fPIC -o ../src/hook.so hook.c -ldl
cat > size.c <<'C'
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
int main(int count, char **words)
{
    struct stat stat_of;
    const int rc = stat("file", &stat_of);
    printf("%d %ld\n", rc, (long)stat_of.st_size);
    fflush(stdout);
    return count > 1 ? system(words[1]) : 0;
}
C
gcc -o size size.c; echo x > file; hook=$PWD/../src/hook.so
./size; LD_PRELOAD=$hook ./size ./size; LD_PRELOAD=$LD_PRELOAD:$hook ./size ./size
LD_PRELOAD="$hook $LD_PRELOAD" ./size; (export LD_PRELOAD=$LD_PRELOAD:$hook; ./size; sh -c ./size; exec ./size)
LD_PRELOAD=$LD_PRELOAD:$hook python3 -c 'import os; print(os.stat("file").st_size); os.system("./size")'
LD_PRELOAD=$LD_PRELOAD:$hook env -u LD_PRELOAD ./size
