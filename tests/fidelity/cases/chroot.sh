# needs: root busybox
# a root inside of a hosted directory, into it and out of it again
mkdir -p build/root/bin build/root/tmp; cp $(command -v busybox) build/root/bin/; ln -s busybox build/root/bin/sh
echo fresh > build/root/tmp/a
chroot build/root /bin/sh -c '/bin/busybox cat /tmp/a; echo made > /tmp/b; /bin/busybox ls /tmp'; echo "status $?"
cat build/root/tmp/b; echo again > build/root/tmp/b; chroot build/root /bin/busybox cat /tmp/b
python3 - <<'P'
import os
top = os.open("/", os.O_RDONLY)
open("build/root/tmp/c", "w").write("c\n")
os.chroot("build/root"); os.chdir("/")
print(sorted(os.listdir("/tmp")), open("/tmp/c").read())
open("/tmp/d", "w").write("d\n")
os.fchdir(top); os.chroot(".")
print(os.path.exists("/etc/passwd"))
P
ls build/root/tmp; cat build/root/tmp/d
