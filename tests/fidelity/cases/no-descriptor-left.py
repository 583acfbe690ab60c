# Calls by path need no descriptor: they work when a process has all that it may have.
import ctypes
import errno
import os
import resource


def say(name, function, *arguments):
    try:
        function(*arguments)
        print(name, "ok", flush=True)
    except OSError as error:
        print(name, errno.errorcode[error.errno], flush=True)


with open("f", "w") as file:
    file.write("x")
os.mkdir("d")
system = ctypes.CDLL(None).system
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
try:
    while True:
        os.dup(0)
except OSError:
    pass
for number in range(40):
    say("symlink", os.symlink, "l" * 3000, f"s{number}")
say("truncate", os.truncate, "f", 10)
say("truncate", os.truncate, "f", 0)
say("mknod", os.mknod, "n")
say("mkfifo", os.mkfifo, "p")
say("link", os.link, "f", "h")
say("rename", os.rename, "n", "d/n")
say("chmod", os.chmod, "f", 0o600)
say("open", os.open, "f", os.O_RDONLY)

# A shell has the descriptors that are closed for it; where it has none, its loader says so of libc alone.
print("system", system(b"cat d/n; wc -c < f; echo new > made"), flush=True)
say("stat", os.stat, "made")
if os.fork() == 0:
    os.execv("/bin/sh", ["sh", "-c", "cat f made; echo more > d/more; ls d"])
os.wait()
for number in range(3, 64):
    os.set_inheritable(number, True)
print("system", system(b"true"), flush=True)
