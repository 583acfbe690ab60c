# locks between processes inside: of files old and new, across fork and exec, second opens, several kinds at once
import fcntl, os, struct, subprocess, sys

def lock(fd, kind, command, start=0, length=0):
    word = struct.pack("hhqqi4x", kind, 0, start, length, 0)
    try:
        return struct.unpack("hhqqi4x", fcntl.fcntl(fd, command, word))[:4]
    except OSError as error:
        return error.strerror

PROBE = r"""
import fcntl, os, struct, sys
fd = os.open(sys.argv[1], os.O_RDWR)
for start in (0, 10, 100):
    held = struct.unpack("hhqqi4x", fcntl.fcntl(fd, fcntl.F_GETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, start, 1, 0)))
    print("  at", start, held[:4])
for how in (fcntl.LOCK_SH, fcntl.LOCK_EX):
    try: fcntl.flock(fd, how | fcntl.LOCK_NB); print("  flock", how, "taken"); fcntl.flock(fd, fcntl.LOCK_UN)
    except OSError as error: print("  flock", how, error.strerror)
"""

def probe(path):
    sys.stdout.flush()
    subprocess.run([sys.executable, "-c", PROBE, path], check=True)

open("old", "w").write("from before")
for name in ("old", "new", "data.lock"):
    fd = os.open(name, os.O_RDWR | os.O_CREAT, 0o600)
    os.write(fd, b"0123456789" * 20)
    print(name, lock(fd, fcntl.F_WRLCK, fcntl.F_SETLK, 0, 5), lock(fd, fcntl.F_RDLCK, fcntl.F_SETLK, 100, 50))
    probe(name)
    # opened again, written and read, by this process: nothing that we do there may end its locks
    again = os.open(name, os.O_RDWR); os.pwrite(again, b"again", 3); print(os.pread(fd, 10, 0), os.stat(name).st_size)
    os.truncate(name, 150); os.chmod(name, 0o640); os.utime(name, (1, 1)); os.listdir(".")
    subprocess.run(["true"]); probe(name)
    os.close(again)  # which ends them
    probe(name)
    print(lock(fd, fcntl.F_WRLCK, fcntl.F_OFD_SETLK, 10, 1)); fcntl.flock(fd, fcntl.LOCK_SH); probe(name)
    other = os.open(name, os.O_RDWR); print("own other:", lock(other, fcntl.F_WRLCK, fcntl.F_OFD_SETLK, 10, 1))
    pid = os.fork()
    if pid == 0:
        print("child:", lock(fd, fcntl.F_WRLCK, fcntl.F_OFD_SETLK, 10, 1), lock(fd, fcntl.F_WRLCK, fcntl.F_SETLK, 0, 1)); sys.stdout.flush(); os._exit(0)
    os.waitpid(pid, 0); os.close(other); os.close(fd); probe(name)
    print(open(name).read()[:20], oct(os.stat(name).st_mode), os.stat(name).st_nlink)
    os.rename(name, name + "2"); fd = os.open(name + "2", os.O_RDWR); os.link(name + "2", name); fcntl.flock(fd, fcntl.LOCK_EX); probe(name)
    os.unlink(name); probe(name + "2"); os.close(fd)
for mode in ("r", "a", "w"):  # a lock of what may be read only; of what is appended to; of what is empty
    open("m" + mode, "w").write("text"); f = open("m" + mode, mode); fcntl.flock(f, fcntl.LOCK_EX); probe("m" + mode)
    if mode != "r": f.write("more"); f.flush(); print(f.tell())
    print(open("m" + mode).read()); f.close()
# a descriptor that is a path only cannot be locked, and stays what it is: also of a file that has no name any more
keeps = os.open("path", os.O_RDWR | os.O_CREAT, 0o600); fd = os.open("path", os.O_PATH); open("other", "w").close(); os.rename("other", "path")
for take in lambda: fcntl.flock(fd, fcntl.LOCK_SH), lambda: fcntl.lockf(fd, fcntl.LOCK_SH):
    try: take()
    except OSError as error: print(error.strerror, os.fstat(fd).st_dev == os.stat("path").st_dev, os.path.sameopenfile(fd, keeps), os.fstat(fd).st_nlink)
# a file that was unlinked stays what it is when it is locked
for kind in "flock", "lockf", "ofd", "asked":
    fd = os.open("gone", os.O_RDWR | os.O_CREAT, 0o600); os.write(fd, b"text"); os.unlink("gone"); number = os.fstat(fd).st_ino
    if kind == "flock": fcntl.flock(fd, fcntl.LOCK_EX)
    if kind == "lockf": fcntl.lockf(fd, fcntl.LOCK_EX)
    if kind == "ofd": print(lock(fd, fcntl.F_WRLCK, fcntl.F_OFD_SETLK, 0, 3))
    if kind == "asked": print(lock(fd, fcntl.F_WRLCK, fcntl.F_OFD_GETLK, 0, 3))
    other = os.open(f"/proc/self/fd/{fd}", os.O_RDWR); sys.stdout.flush()
    print(kind, os.fstat(fd).st_ino == number, os.path.sameopenfile(fd, other), os.pread(other, 9, 0), os.fstat(other).st_nlink); probe(f"/proc/{os.getpid()}/fd/{fd}")
    os.ftruncate(fd, 100 << 20); os.pwrite(fd, b"end", 99 << 20); print(os.fstat(fd).st_ino == number, os.fstat(other).st_size); os.close(other); os.close(fd)
