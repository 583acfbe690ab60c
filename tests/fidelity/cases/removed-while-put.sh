#custom directories that are removed or moved from outside while their files are being put
later() { if [ $SIDE = native ]; then "$@"; else "$VELO" exec --no-wait -- "$@"; fi; }
fill='
import os
os.makedirs("build/d/e/f")
for i in range(800):
    for directory in "d", "d/e", "d/e/f":
        with open(f"build/{directory}/{i}", "w") as file: file.write(str(i))'
while_put() { # do it when the first files are on disk, and others are not
    later python3 -c "$fill"
    [ $SIDE = native ] || "$VELO" sync > sync.out 2>&1 &
    for ((i = 0; i < 1000000; i++)); do [ ! -e build/d/e/f/20 ] || break; done
    "$@" 2>&1; echo "$1: $?"
    wait $!; [ ! -s sync.out ] || cat sync.out; rm -f sync.out
    find . -type f | sed 's/[0-9]*$//' | sort | uniq -c; find . -type d | sort
    [ $SIDE = native ] || "$VELO" sync; ls; ls build
}
while_put rm -rf build/d
while_put python3 -c 'import shutil; shutil.rmtree("build/d")'
while_put find build/d -delete
while_put rm -rf build
while_put mv build/d moved
rm -rf moved
while_put mv build moved
