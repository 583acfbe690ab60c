# extended attributes that memory takes and the disk does not: refused at once, by path and by descriptor
# needs: setfacl
import errno
import os
import subprocess


def attempt(what, call, *arguments):
    try:
        print(what, call(*arguments), flush=True)
    except OSError as error:
        print(what, errno.errorcode[error.errno], flush=True)


with open("f", "w") as file:
    file.write("text\n")
fd = os.open("f", os.O_RDWR)
for size in (100, 1000, 3000, 4000, 4096, 5000, 60000, 65536, 65537):
    attempt(size, os.setxattr, "f", "user.a", b"v" * size)
    attempt("has", lambda: len(os.getxattr("f", "user.a")))
for size in (100, 3900, 5000):
    attempt(("descriptor", size), os.setxattr, fd, "user.b", b"v" * size)
attempt("removed", os.removexattr, "f", "user.a")
for number in range(60):
    attempt(number, os.setxattr, "f", f"user.n{number}", b"v" * 100)
print(len(os.listxattr("f")))
with open("g", "w") as file:
    file.write("text\n")
acl = "\n".join(f"u:{user}:r" for user in range(1, 2000))
done = subprocess.run(["setfacl", "-M", "-", "g"], input=acl, text=True, capture_output=True)
print(done.returncode, done.stderr, len(os.listxattr("g")))
with open("f", "a") as file:
    file.write("more\n")
os.rename("f", "h")
print(len(os.listxattr("h")), open("h").read())
