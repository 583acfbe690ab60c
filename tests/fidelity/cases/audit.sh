# libraries that audit the loader (LD_AUDIT) run in a name space of their own, before the program
# needs: gcc
mkdir -p src
cat > src/audit.c <<'C'
#define _GNU_SOURCE
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <unistd.h>
unsigned la_version(unsigned version)
{
    char text[16] = "";
    int fd = open("build/in", O_RDONLY);
    if (fd >= 0)
        (void)!read(fd, text, 15), close(fd);
    dprintf(1, "audit: %s", fd < 0 ? "no\n" : text);
    return version;
}
unsigned la_objopen(struct link_map *map, Lmid_t name_space, uintptr_t *cookie)
{
    int fd = open("build/log", O_WRONLY | O_CREAT | O_APPEND, 0644);
    (void)!write(fd, "opened\n", 7);
    close(fd);
    return 0;
}
C
gcc -w -shared -fPIC -o src/audit.so src/audit.c
echo "in memory" > build/in
LD_AUDIT=$PWD/src/audit.so cat build/in
grep -c . build/log > build/count
LD_AUDIT=$PWD/src/audit.so sh -c 'echo more >> build/in; cat build/in'
[ -s build/log ] && echo logged
echo 'int main(void) { return 0; }' > src/m.c
gcc -o src/m src/m.c -Wl,--audit="$PWD/src/audit.so" && ./src/m
rm -r src build/log build/count
ls build
