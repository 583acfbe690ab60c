#custom mounts that are there before the build: below hosted directories, and second names of them
# needs: root
mkdir -p build/m build/ro target mnt; echo old > build/old; echo below > build/m/below
trap 'umount -l build/m build/ro target mnt 2>/dev/null' EXIT
mount -t tmpfs -o size=1m none build/m; mount -t tmpfs none build/ro; echo ro > build/ro/f; mount -o remount,ro build/ro
mount -t tmpfs none target; echo t > target/f; mount -o remount,ro target
$RUN sh -c 'echo a > build/a; echo in > build/m/in; cat build/m/in; head -c 3000000 /dev/zero > build/m/big 2>/dev/null && echo "3 MB went into 1 MB"; rm -f build/m/big
  (echo x > build/ro/x) 2>/dev/null || echo "read-only"; cat build/ro/f; (echo x > target/x) 2>/dev/null || echo "read-only"; cat target/f; mkdir target/d 2>/dev/null || echo "read-only"
  mv build/a build/m/a; ls build build/m' 2>&1
mount -o remount,rw target
$RUN sh -c 'echo written > target/x; cat target/x; ls target'
mount --bind build mnt
$RUN sh -c 'echo a > build/b; cat mnt/b; echo b > mnt/c; cat build/c; mv mnt/c mnt/d; ls build; umount mnt; ls mnt; echo e > build/e; cat build/e' 2>&1
umount build/m; ls -A build/m; cat build/m/below
$RUN sh -c 'cat build/m/below; ls build/m; echo after > build/m/after' 2>&1
