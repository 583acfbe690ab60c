#custom overlays over hosted directories before and inside; something mounted on the hosted directory itself
# needs: root
over=$(mktemp -d /var/tmp/velo-case.XXXXXX); mkdir -p build/lower up wk mnt build/o "$over/up" "$over/wk"; echo l > build/lower/l
trap 'umount -lq mnt build/o build; rm -rf "$over"' EXIT
mount -t overlay o -o lowerdir=build/lower,upperdir=up,workdir=wk mnt
$RUN sh -c 'cat mnt/l; echo n > build/lower/n; cat mnt/n; echo m > mnt/m; ls build/lower mnt'; umount mnt
mount -t overlay o -o lowerdir="$PWD",upperdir="$over/up",workdir="$over/wk" mnt
$RUN sh -c 'cat mnt/build/lower/l; echo n > build/n2; cat mnt/build/n2; ls mnt/build'; umount mnt
$RUN sh -c 'mkdir -p build/u2 build/w2; mount -t overlay o -o lowerdir=build/lower,upperdir=build/u2,workdir=build/w2 build/o; echo ov > build/o/ov; ls build/o; cat build/u2/ov; rm build/o/l; ls build/lower build/o; umount build/o; ls build/o'
$RUN sh -c 'mount -t tmpfs none build; echo hid > build/hid; ls build'; ls build
$RUN sh -c 'cat build/hid; echo two > build/two; mkdir build/d; echo three > build/d/three' 2>/dev/null; ls build; cat build/two; umount build; ls build
$RUN sh -c 'ls build; cat build/n2; rm -rf build/w2 build/u2; rm -rf build/o; echo done > build/done'; ls build; rm -rf wk up
