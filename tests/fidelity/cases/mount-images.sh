#custom images in a hosted directory, mounted and attached
# needs: root mkfs.ext4 losetup debugfs
mkdir -p build/m; trap 'umount -lq build/m' EXIT
$RUN sh -c 'cd build; truncate -s 20M img; mkfs.ext4 -q img; mount -o loop img m; losetup -j img -n -O BACK-FILE | sed "s|.*/build/|build/|"; echo one > m/one; ls; stat -c "%s %n" img'
losetup -j build/img -n -O BACK-FILE | sed "s|.*/build/|build/|"
$RUN sh -c 'cd build; echo two > m/two; cat m/one; sync m/two; umount m; ls m; debugfs -R "cat /two" img 2>/dev/null; cp img img2'
$RUN sh -c 'cd build; cmp img img2 && echo same; mount -o loop,ro img2 m; cat m/two; (echo x > m/x) 2>/dev/null || echo read-only; umount m
  l=$(losetup -f --show img); mount $l m; echo three > m/three; umount m; losetup -d $l; debugfs -R "cat /three" img 2>/dev/null; mount -o loop img m; rm -r m/lost+found; ls m'
$RUN sh -c 'cat build/m/three; umount build/m; debugfs -R "ls -p /" build/img 2>/dev/null | cut -d/ -f6 | sort'
rm build/img build/img2
