# locales in a hosted directory, named when the program runs already: libc reads their files by itself
# needs: gcc
cd build
mkdir -p there && cp -r /usr/lib/locale/C.utf8 there/xx_XX.utf8
cat > l.c <<'C'
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
int main(void)
{
    setenv("LOCPATH", getenv("THERE"), 1);
    const char *name = setlocale(LC_ALL, "xx_XX.UTF-8");
    puts(name == NULL ? "none" : name);
    if (system("cp -r there/xx_XX.utf8 there/yy_YY.utf8") != 0)
        return 1;
    puts(newlocale(LC_ALL_MASK, "yy_YY.UTF-8", 0) == 0 ? "none" : "yy_YY");
    return 0;
}
C
gcc -w l.c -o l && THERE=$PWD/there ./l
rm -r there l
