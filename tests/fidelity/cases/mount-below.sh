# what is mounted below a hosted directory while the build runs has its own rules, and goes with it
# needs: root
cd build && mkdir -p m covered/deep && echo below > m/below && echo deep > covered/deep/f
trap 'umount -l m covered covered2 file 2>/dev/null' EXIT
exec 5> m/open
mount -t tmpfs -o size=1m,nr_inodes=20 none m && ls -A m
echo x > m/f; mkdir m/d; echo y > m/d/g; ls m m/d
echo "still open" >&5
head -c 3000000 /dev/zero > m/big 2>/dev/null && echo "3 MB went into 1 MB"; rm -f m/big
mv m/f moved && cat moved; echo back > back; mv back m/back; cat m/back
ln moved m/hard 2>/dev/null || echo "no link across"; rmdir m 2>/dev/null || echo "m is in use"
mv m n 2>/dev/null || echo "m cannot be moved"
(cd m && echo up > ../from-below && cat ../from-below ../moved && ls ..)
cat m/../from-below m/d/../../moved; (cd m/d && cat ../../from-below)
python3 -c 'import os; f = os.open("m/d", os.O_RDONLY); print(os.read(os.open("../../moved", os.O_RDONLY, dir_fd=f), 9))'
mount -o remount,ro m; (echo y > m/g) 2>/dev/null || echo "read-only"; cat m/d/g
mkdir m2 m2/build; mount -t tmpfs none m2; mkdir -p m2/build; echo in > m2/build/in; cat m2/build/in; umount m2; ls m2/build; rm -r m2
umount m; ls -A m; cat m/below m/open; echo after > m/after; cat m/after
touch file; mount --bind back file 2>/dev/null; mount --bind moved file; cat file; echo more >> file; cat moved
rm file 2>/dev/null || echo "file is in use"; umount file; cat file; rm file
(cd covered/deep; mount -t tmpfs none ..; echo hidden > hidden; ls; ls ..)
ls covered; umount covered; ls -R covered; cat covered/deep/hidden
mkdir proc; mount --bind /proc proc; head -1 proc/self/status; umount proc; rmdir proc
cd ..; mount -t tmpfs none build; ls -A build; echo new > build/new; cat build/new; umount build; ls build; cat build/from-below
