#custom
# what several processes write, and what nobody sees, at a cap that it is larger than
# needs: gcc
printf '[live]\nmax_memory = "8MB"\naggressive_paths = ["build/"]\n' > velo.toml
cat > lines.c <<'X'
#include <stdio.h>
#include <stdlib.h>
int main(int count, char **argv) { for (int i = atoi(argv[1]); i < atoi(argv[2]); i++) printf("%0127d\n", i); }
X
gcc -O1 lines.c -o lines; gcc -O1 -static lines.c -o lines-static; rm lines.c
cat > step.sh <<'X'
{ ./lines 0 100000; ./lines 100000 200000; } > build/braces
{ ./lines-static 0 100000; ./lines 100000 120000; } > build/static
for i in 0 1 2 3; do ./lines ${i}00000 ${i}50000 & done > build/together; wait
(./lines 0 90000; ./lines 90000 100000) >> build/appended; ./lines 0 9 >> build/appended
awk 'BEGIN { for (i = 0; i < 150000; i++) printf("%0127d\n", i) > "build/awk" }'
exec 5> build/five; ./lines 0 90000 >&5; ./lines 90000 100000 >&5; exec 5>&-
./lines 0 100000 | tee build/tee > build/piped
dd if=build/awk of=build/middle bs=1M conv=notrunc seek=3 status=none
python3 - <<'Y'
import mmap, os, subprocess
with open("build/python", "wb") as out:
    for i in range(3):
        subprocess.run(["./lines", f"{i}00000", f"{i}90000"], stdout=out, check=True)
        print(out.tell())
with open("build/mapped", "w+b", buffering=0) as out:
    out.write(bytes(4096))
    seen = mmap.mmap(out.fileno(), 4096)
    for i in range(40): out.write(bytes([i]) * (1 << 20))
    seen[5] = 9
    print(os.pread(out.fileno(), 2, 5), out.tell())
Y
X
$RUN bash step.sh 2>&1; echo "-> $?"
for f in build/*; do echo $f $(LC_ALL=C sort $f | sha256sum); done
rm -f lines lines-static step.sh build/*
