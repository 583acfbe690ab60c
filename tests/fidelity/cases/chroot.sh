# needs: root busybox
# a root inside of a hosted directory, into it and out of it again
mkdir -p build/jail/bin build/jail/tmp; cp $(command -v busybox) build/jail/bin/; ln -s busybox build/jail/bin/sh
echo fresh > build/jail/tmp/a
chroot build/jail /bin/sh -c '/bin/busybox cat /tmp/a; echo made > /tmp/b; /bin/busybox ls /tmp'; echo "status $?"
cat build/jail/tmp/b; echo again > build/jail/tmp/b; chroot build/jail /bin/busybox cat /tmp/b
python3 - <<'P'
import os
top = os.open("/", os.O_RDONLY)
open("build/jail/tmp/c", "w").write("c\n")
os.chroot("build/jail"); os.chdir("/")
print(sorted(os.listdir("/tmp")), open("/tmp/c").read())
open("/tmp/d", "w").write("d\n")
os.fchdir(top); os.chroot(".")
print(os.path.exists("/etc/passwd"))
P
ls build/jail/tmp; cat build/jail/tmp/d
