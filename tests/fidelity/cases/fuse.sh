#custom FUSE file systems that show the hosted directory: there before the build, and started by it
# needs: root mergerfs bindfs /dev/fuse
mkdir -p build build/below mnt; echo old > build/old
OPTIONS=cache.files=off,cache.entry=0,cache.attr=0,cache.negative_entry=0
trap 'fusermount -uz mnt; fusermount -uz build/below' EXIT 2>/dev/null
mergerfs -o $OPTIONS "$PWD/build" "$PWD/mnt" 2>&1; ls mnt
$RUN sh -c 'echo a > build/a; cat mnt/a; echo b > mnt/b; cat build/b; mv build/a build/c; ls mnt; rm mnt/c; ls build' 2>&1
ls build; fusermount -u mnt
$RUN sh -c "mergerfs -o $OPTIONS $PWD/build $PWD/mnt; echo d > build/d; cat mnt/d; echo e > mnt/e; cat build/e; ls mnt; fusermount -u $PWD/mnt" 2>&1; ls build
$RUN sh -c "bindfs -o attr_timeout=0,entry_timeout=0 $PWD/build $PWD/mnt; echo f > build/f; cat mnt/f; echo g > mnt/g; cat build/g; mv mnt/g mnt/h; ls build; fusermount -u $PWD/mnt" 2>&1; ls build
$RUN sh -c "bindfs -o attr_timeout=0,entry_timeout=0 $PWD $PWD/build/below; echo i > build/i; cat build/below/build/i; echo j > build/below/j; cat j; ls build; fusermount -u $PWD/build/below; ls build/below" 2>&1; ls build
