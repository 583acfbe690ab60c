# the kernel shows a hosted directory, one above it and a part of it under second names
# needs: root
mkdir -p build/x mnt all part over build/lower build/up build/wk
trap 'cd "$HERE"; umount -l mnt all part over build 2>/dev/null' EXIT
echo zero > build/zero
mount --bind build mnt; cat mnt/zero
echo one > build/a; cat mnt/a; echo two > mnt/b; cat build/b; mv mnt/b mnt/c; ls build
echo more >> mnt/a; cat build/a; mkdir mnt/d; echo y > mnt/d/y; ls build/d; rm build/a; ls mnt
[ mnt/c -ef build/c ] && echo "one file"; cp mnt/c build/c 2>&1 | sed "s|$HERE|.|"; cat build/c
mv build/c mnt/d/c 2>/dev/null; ls build mnt/d; (cd mnt && echo z > z; ls ../build); cat build/z
umount mnt; ls mnt; echo quick > build/quick; cat build/quick
mount --rbind "$HERE" all; echo through > all/build/through; cat build/through; echo t > build/t; cat all/build/t; umount -l all
mount --bind build/x part; echo p > part/p; cat build/x/p; echo q > build/x/q; cat part/q; umount part
echo l > build/lower/l
mount -t overlay o -o lowerdir=build/lower,upperdir=build/up,workdir=build/wk over && {
    cat over/l; echo u > over/u; echo more >> over/l; ls over; cat build/up/u build/up/l
    echo direct > build/lower/direct; cat over/direct; rm over/l; ls over; umount over; }
ls build/up; cat build/up/u; mount --bind build build; echo self > build/self; cat build/self; umount build; cat build/self; rm -r build/wk
find . | sort
