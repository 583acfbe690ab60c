# needs: root busybox bwrap unshare nsenter
# an image builder: mounts in a root file system that it makes, and steps into it; then sandboxes of many kinds
r=build/rootfs; trap 'umount -lRq $r/proc $r/dev $r/src $r/sys' EXIT
mkdir -p $r/bin $r/proc $r/dev $r/src $r/sys $r/etc $r/tmp; cp $(which busybox) $r/bin/; for n in sh ls cat mkdir mount umount id touch rm; do ln -s busybox $r/bin/$n; done
echo conf > $r/etc/conf; echo 'echo hook; cat /etc/conf; echo made > /etc/made; ls /' > $r/hook;
mount -t proc proc $r/proc; mount --bind /dev $r/dev; mount --bind . $r/src
chroot $r /bin/sh /hook; cat $r/etc/made; ls $r/proc/self > /dev/null && echo proc
chroot $r /bin/sh -c 'ls /src/build/rootfs/etc; echo x > /src/build/from-inside; cat /src/build/rootfs/etc/made; cat /proc/self/comm; test -c /dev/null && echo null'
cat build/from-inside; echo after > $r/etc/after
python3 -c '
import os
pid = os.fork()
if pid == 0:
    os.chroot("build/rootfs"); os.chdir("/"); print(sorted(os.listdir("/etc"))); open("/etc/py","w").write("py"); os.system("cat /etc/py; echo"); os.execv("/bin/cat", ["cat", "/etc/after"])
os.waitpid(pid, 0); print(open("build/rootfs/etc/py").read())'
umount $r/proc $r/dev $r/src; ls $r/proc $r/src $r/dev
tar cf build/image.tar -C $r --sort=name --mtime=@0 . ; tar tf build/image.tar; rm build/image.tar
rm -rf $r/src $r/tmp; (cd $r; find . | sort);
bwrap --bind $r / --proc /proc --dev /dev /bin/sh -c 'cat /etc/conf; echo b > /etc/bwrap; ls /etc'; cat $r/etc/bwrap
bwrap --ro-bind / / --bind build build --tmpfs /dev/shm --chdir $PWD sh -c 'echo s > build/shm; cat build/shm; ls /dev/shm' ; cat build/shm
bwrap --unshare-all --ro-bind / / --dev /dev --proc /proc --bind $PWD $PWD --chdir $PWD sh -c 'echo all > build/all; gcc --version > /dev/null && cat build/all; ls build'; cat build/all
bwrap --dev-bind / / sh -c 'echo whole > build/whole; cat build/whole'; cat build/whole
unshare -m -p -f --mount-proc sh -c 'echo $$; echo pid > build/pid; cat build/pid; ls build'; cat build/pid
unshare -r sh -c 'id -u; stat -c %u build/pid; echo r > build/r; ls -ln build/r | cut -d" " -f3'; cat build/r
unshare -n sh -c 'echo net > build/net'; cat build/net; unshare -u -i sh -c 'echo uts > build/uts'; cat build/uts
(unshare -m sh -c 'mount -t tmpfs none build; echo hidden > build/h; ls build; sleep 0.1') & wait; ls build
nsenter -t $$ -m sh -c 'echo enter > build/enter; cat build/enter'; cat build/enter
