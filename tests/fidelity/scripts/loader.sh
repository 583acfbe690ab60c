# The loader opens what it loads by itself: DT_NEEDED along $ORIGIN, dlopen by path and by name, and a
# library that is replaced while a program has it.
cd build; mkdir lib bin
echo 'int deep(void) { return 7; }' > deep.c
echo 'int deep(void); int shallow(void) { return deep() + 1; }' > shallow.c
echo '#include <stdio.h>
#include <dlfcn.h>
int shallow(void);
int main(void) {
    void *more = dlopen("more.so", RTLD_NOW), *path = dlopen("./lib/deep.so", RTLD_NOW);
    int (*function)(void) = more ? (int (*)(void))dlsym(more, "more") : 0;
    printf("%d %d %d\n", shallow(), function ? function() : -1, path != 0);
    return 0; }' > main.c
gcc -shared -fPIC -o lib/deep.so deep.c
gcc -shared -fPIC -o lib/shallow.so shallow.c lib/deep.so -Wl,-rpath,'$ORIGIN/..'
echo 'int more(void) { return 100; }' | gcc -shared -fPIC -o lib/more.so -x c -
gcc -o bin/main main.c lib/shallow.so -Wl,-rpath,'$ORIGIN/../lib'  -Wl,-rpath,'$ORIGIN/..'
bin/main; ldd bin/main | sed 's/ (0x.*//' | grep build | sort
echo 'int more(void) { return 200; }' | gcc -shared -fPIC -o lib/new.so -x c -; mv lib/new.so lib/more.so
bin/main; LD_LIBRARY_PATH=lib bin/main; cd bin; ./main
python3 - <<'P'
import ctypes, os
lib = ctypes.CDLL(os.path.abspath("../lib/more.so"))
print(lib.more(), os.path.basename(lib._name), any("lib/more.so" in line for line in open("/proc/self/maps")))
P
