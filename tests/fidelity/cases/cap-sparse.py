# Files that are longer than max_memory and hold next to nothing: made so by path and by descriptor,
# allocated, written far behind the end, mapped; with a name, with two, and without one.
import mmap, os

LONG = (900_000_000, 2 << 30, 5 << 30)


def say(what, call):
    try:
        print(what, call())
    except OSError as error:
        print(what, error.strerror)


def show(fd):
    status = os.fstat(fd)
    return status.st_size, status.st_nlink


def sparse(name, fd):
    for length in LONG:
        say(name, lambda: os.ftruncate(fd, length))
        say(name, lambda: os.pwrite(fd, b"end", length - 3))
        say(name, lambda: os.pread(fd, 3, length - 3))
    say(name, lambda: os.posix_fallocate(fd, 6 << 30, 1))
    say(name, lambda: os.lseek(fd, 0, os.SEEK_DATA))
    with mmap.mmap(fd, 4096, offset=1 << 30) as seen:
        seen[7] = 55
    say(name, lambda: os.pread(fd, 2, (1 << 30) + 6))
    say(name, lambda: show(fd))


for name in ("named", "linked", "unnamed", "never-named"):
    if name == "never-named":
        fd = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o640)
    else:
        fd = os.open(name, os.O_RDWR | os.O_CREAT, 0o640)
    if name == "linked":
        os.link(name, "second")
    if name == "unnamed":
        os.unlink(name)
    sparse(name, fd)
    if name == "never-named":
        os.link(f"/proc/self/fd/{fd}", "late", src_dir_fd=fd, follow_symlinks=True)
        say(name, lambda: show(fd))
    os.close(fd)
for name in ("named", "linked", "late"):
    for length in (5, *LONG, 1 << 43):
        say(name, lambda: os.truncate(name, length))
        say(name, lambda: os.path.getsize(name))
    os.truncate(name, 5)
say("too long", lambda: os.truncate("named", (1 << 63) - 1))
