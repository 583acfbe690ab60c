# a process that restricts itself to some directories by landlock, and works in the hosted one
# needs: landlock
import ctypes
import os
import struct
import subprocess
import sys

libc = ctypes.CDLL(None, use_errno=True)
open("before", "w").write("b")
kept = open("kept", "w")
os.mkdir("d")
rights = (1 << 13) - 1
ruleset = libc.syscall(444, struct.pack("Q", rights), 8, 0)
if ruleset < 0:
    raise SystemExit("no landlock")
for path in (".", "/usr", "/lib", "/lib64", "/bin", "/etc", "/dev", sys.base_prefix):
    if os.path.exists(path):
        fd = os.open(path, os.O_PATH)
        libc.syscall(445, ruleset, 1, struct.pack("=Qi", rights, fd), 0)
libc.prctl(38, 1, 0, 0, 0)
print("unknown flags", libc.syscall(446, ruleset, 1 << 30), ctypes.get_errno())
open("between", "w").write("x")
print("restricted", libc.syscall(446, ruleset, 0))


def said(name, function, *arguments):
    try:
        print(name, function(*arguments), flush=True)
    except OSError as error:
        print(name, error.errno, flush=True)


said("read", lambda: open("before").read())
said("kept", kept.write, "more")
said("flush", kept.flush)
said("write", lambda: open("after", "w").write("xyz"))
said("again", lambda: open("after").read())
said("mkdir", os.mkdir, "e")
said("rename", os.rename, "after", "after2")
said("list", lambda: sorted(os.listdir(".")))
said("outside", lambda: open("../outside", "w").write("x"))
said("unlink", os.unlink, "before")
said("size", lambda: os.stat("after2").st_size)
said("child", lambda: subprocess.run("echo c > c; cat c; cp c d/c; ls", shell=True).returncode)
said("appended", lambda: open("c", "a").write("more"))
