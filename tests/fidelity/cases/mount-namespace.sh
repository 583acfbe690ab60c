# needs: root
# in a mount namespace: hosted directories under a second name, and other file systems below them
mkdir -p build/x build/lower build/up build/wk mnt; echo l > build/lower/l
unshare -m sh -c '
mount --bind build mnt
echo one > build/a; cat mnt/a; echo two > mnt/b; cat build/b; mv mnt/b mnt/c; ls build; echo more >> mnt/a; cat build/a
mkdir mnt/d; echo y > mnt/d/y; ls build/d; rm build/a; ls mnt; umount mnt
mount -t overlay o -o lowerdir=build/lower,upperdir=build/up,workdir=build/wk mnt && { cat mnt/l; echo u > mnt/u; echo more >> mnt/l; ls mnt; cat build/up/u build/up/l; umount mnt; }
cd build; mkdir m; echo below > m/below
mount -t tmpfs -o size=1m none m; ls -A m; echo x > m/f; mkdir m/d
head -c 3000000 /dev/zero > m/big 2>/dev/null && echo "3 MB went into 1 MB"; rm -f m/big
mount -o remount,ro m; (echo y > m/g) 2>/dev/null && echo "written to a read-only file system"; cat m/f
umount m; ls -A m; cat m/below; rm -rf m; ls -A' 2>&1
ls build build/d build/up; cat build/c build/up/l
