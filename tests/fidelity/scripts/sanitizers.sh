cd build; cat > s.c <<'C'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv) {
  FILE *f = fopen("made", "w"); fprintf(f, "by %s\n", argv[1]); fclose(f);
  const char *preload = getenv("LD_PRELOAD");
  printf("%s in LD_PRELOAD %d, options %d\n", argv[1], preload && strstr(preload, "asan") != 0, getenv("ASAN_OPTIONS") != 0);
  fflush(stdout);
  system("cat made; env | grep -c asan; ls | wc -l; sh -c 'cat made'");
  char *volatile p = malloc(8); if (argc > 2) p[8 + argc] = 1; free(p);
  return access("made", R_OK);
}
C
for cc in gcc clang; do command -v $cc >/dev/null || continue
for kind in address thread undefined leak; do
$cc -g -fsanitize=$kind s.c -o $cc-$kind || exit 1
./$cc-$kind $cc-$kind; echo $?
env -i ./$cc-$kind bare; echo $?
done
./$cc-address $cc-caught bad 2>&1 | grep -o 'ERROR: AddressSanitizer: [a-z-]*'; cat made
[ $cc = gcc ] && LD_PRELOAD=$(gcc -print-file-name=libasan.so) ./$cc-address $cc-own; echo $?
python3 -c "import os; os.waitpid(os.posix_spawn('$cc-address', ['x', 'spawned'], {}), 0)"
done
rm -f made s.c gcc-* clang-*
