# mounts of many kinds in a hosted directory: images, nested, lazy, moved, read-only binds, overlays on top
# needs: root mkfs.ext4
cd build; trap 'cd "$HERE"; umount -lR build/m "build/a b" build/t build/n build/m2 build/over build mnt 2>/dev/null' EXIT
truncate -s 20M img; mkfs.ext4 -q img; mkdir m
mount -o loop img m; echo hello > m/f; mkdir m/d; echo 2 > m/d/g; df -T m | tail -1 | awk '{print $2}'
cp /bin/true m/prog; m/prog && echo prog runs; cp m/prog prog; ./prog && echo prog too
umount m; echo "after umount: $(ls m)"; cat m/f
mount -o loop img m; echo "in the image: $(ls m | tr '\n' ' ')"; cat m/f m/d/g; umount m
mkdir "a b"; mount -t tmpfs none "a b"; echo s > "a b/s"; ls; cat "a b/s"; umount "a b"; ls "a b"
mount -t tmpfs none m; mkdir m/n; mount -t tmpfs none m/n; echo deep > m/n/deep; cat m/n/deep; echo mid > m/mid; ls -R m; umount m/n; ls -R m; umount m
mount -t tmpfs none m; mkdir m/n; mount -t tmpfs none m/n; umount -R m; ls -A m
mount -t tmpfs none m; cd m; echo lazy > lazy; exec 6< lazy; umount -l ../m 2>/dev/null || umount -l "$HERE/build/m"; ls; cat <&6; echo again > again; cat again; cd "$HERE/build"; ls m; cat again m/again
mkdir s t; echo src > s/a; mount --bind s t; echo via-t > t/b; cat s/b t/a; ls s t; [ s -ef t ] && echo same dir; mount -o remount,bind,ro t; (echo no > t/no) 2>/dev/null || echo ro; echo yes > s/yes; cat t/yes; mv s/yes s/yes2; ls t; umount t; ls s t
mkdir m2; mount -t tmpfs none m; echo moved > m/f; mount --move m m2; ls m m2; cat m2/f; umount m2; ls m m2
mkdir -p up wk over; mount -t overlay o -o lowerdir=s,upperdir=up,workdir=wk over; cat over/a; echo new > over/new; cat up/new; rm over/a; ls over s; ls -l up | cut -c1 ; umount over; rm -rf up wk; mkdir up wk
mount -t overlay o -o lowerdir=s,upperdir=up,workdir=wk s; echo top > s/top; ls s up; umount s; ls s up; rm -rf up wk
mount --bind s s; echo x > s/x; mv s/x x 2>/dev/null && echo mv works; rmdir s 2>/dev/null || echo busy; umount s; ls s; cat x
mkdir "$HERE/mnt"; mount --bind "$HERE" "$HERE/mnt"; echo p > "$HERE/mnt/build/p"; cat p; umount "$HERE/mnt"
python3 - <<'P'
import ctypes,os
l=ctypes.CDLL(None,use_errno=True)
os.mkdir("py")
print(l.syscall(165,b"none",b"py",b"tmpfs",0,b"size=1m")); open("py/f","w").write("x"); print(os.listdir("py"))
print(l.syscall(166,b"py",0)); print(os.listdir("py"))
print(l.mount(b"none",b"py",b"tmpfs",0,b"size=1m")); open("py/f","w").write("x"); print(os.listdir("py")); print(l.umount(b"py")); print(os.listdir("py"))
print(l.mount(b"none",b"nonexist",b"tmpfs",0,b"size=1m"), ctypes.get_errno())
print(l.umount2(b"py",0), ctypes.get_errno())
P
rm img; find . -type f | sort
