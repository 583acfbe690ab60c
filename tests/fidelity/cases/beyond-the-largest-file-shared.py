# the same (beyond-the-largest-file.py) of a file that cannot leave memory: processes share it, or it is mapped
import ctypes
import errno
import mmap
import os

LARGEST = (1 << 44) - 4096
libc = ctypes.CDLL(None, use_errno=True)
NUMBERS = {"x86_64": (8, 18, 77), "aarch64": (62, 68, 46)}
LSEEK, PWRITE, FTRUNCATE = NUMBERS[os.uname().machine]


def by_number(*arguments):
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    done = libc.syscall(*words)
    if done < 0:
        raise OSError(ctypes.get_errno(), "")
    return done


def of_libc(name, *arguments):
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    if getattr(libc, name)(*words) < 0:
        raise OSError(ctypes.get_errno(), "")


def streamed(fd):
    libc.fdopen.restype = ctypes.c_void_p
    stream = ctypes.c_void_p(libc.fdopen(os.dup(fd), b"r+"))
    position = (ctypes.c_long * 2)(1 << 62, 0)
    said = libc.fsetpos(stream, position), errno.errorcode.get(ctypes.get_errno())
    libc.fclose(stream)
    return said


WAYS = {
    "pwrite": lambda fd: os.pwrite(fd, b"x", 1 << 44),
    "pwrite of nothing": lambda fd: os.pwrite(fd, b"", 1 << 44),
    "pwrite below": lambda fd: os.pwrite(fd, b"", 9 << 40),
    "pwritev": lambda fd: os.pwritev(fd, [b"x"], LARGEST),
    "pwritev2": lambda fd: os.pwritev(fd, [b"x"], LARGEST, os.RWF_SYNC),
    "pwritev2 to the end": lambda fd: os.pwritev(fd, [b"x"], LARGEST, os.RWF_APPEND),
    "seek": lambda fd: os.lseek(fd, LARGEST + 1, 0),
    "seek to the end of all": lambda fd: os.lseek(fd, LARGEST, 0),
    "write there": lambda fd: os.write(fd, b"x"),
    "seek back": lambda fd: os.lseek(fd, 1, 0),
    "seek by number": lambda fd: by_number(LSEEK, fd, 1 << 62, 0),
    "pwrite by number": lambda fd: by_number(PWRITE, fd, b"x", 1, 1 << 44),
    "ftruncate": lambda fd: os.ftruncate(fd, 1 << 44),
    "ftruncate by number": lambda fd: by_number(FTRUNCATE, fd, 1 << 44),
    "truncate": lambda fd: os.truncate("s", 1 << 44),
    "fallocate": lambda fd: of_libc("fallocate", fd, 1, LARGEST, 10),
    "posix_fallocate": lambda fd: os.posix_fallocate(fd, LARGEST, 10),
    "copy": lambda fd: os.copy_file_range(os.open("/etc/passwd", 0), fd, 10, 0, LARGEST),
    "stream": streamed,
    "reader's write": lambda fd: os.pwrite(os.open("s", 0), b"x", 1 << 44),
    "reader's length": lambda fd: os.ftruncate(os.open("s", 0), 1 << 44),
    "appended": lambda fd: os.pwrite(os.open("s", os.O_WRONLY | os.O_APPEND), b"a", 1 << 44),
}


def try_all(fd):
    for name, way in WAYS.items():
        try:
            print(name, way(fd), flush=True)
        except OSError as error:
            print(name, errno.errorcode[error.errno], flush=True)
        print("  then", os.lseek(fd, 0, 1), os.fstat(fd).st_size)


def shared():
    fd = os.open("s", os.O_CREAT | os.O_RDWR | os.O_TRUNC, 0o644)
    os.write(fd, b"12345")
    ends, wait = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(wait)
        os.read(ends, 1)
        os._exit(0)
    try_all(fd)
    os.close(wait)
    os.waitpid(child, 0)
    os.close(fd)


def mapped():
    fd = os.open("s", os.O_CREAT | os.O_RDWR | os.O_TRUNC, 0o644)
    os.write(fd, b"12345")
    with mmap.mmap(fd, 5) as view:
        view[0:1] = b"m"
        try_all(fd)
    os.close(fd)


for each in (shared, mapped):
    print(each.__name__)
    each()
    os.unlink("s")
