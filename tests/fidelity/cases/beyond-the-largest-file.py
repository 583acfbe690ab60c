# what the disk's largest file does not take (ext4: 16 TB): each way of writing says so, and nothing is left over
import ctypes
import errno
import os


def say(name, function):
    fd = os.open("s", os.O_CREAT | os.O_RDWR | os.O_TRUNC, 0o644)
    try:
        print(name, function(fd), flush=True)
    except OSError as error:
        print(name, errno.errorcode[error.errno], flush=True)
    print(os.lseek(fd, 0, os.SEEK_CUR), os.fstat(fd).st_size)
    os.close(fd)
    os.unlink("s")


LARGEST = (1 << 44) - 4096
say("pwrite", lambda fd: os.pwrite(fd, b"x", 1 << 44))
say("pwritev", lambda fd: os.pwritev(fd, [b"x"], LARGEST))
say("write", lambda fd: (os.lseek(fd, LARGEST, 0), os.write(fd, b"x")))
say("ftruncate", lambda fd: os.ftruncate(fd, 1 << 44))
say("copy", lambda fd: os.copy_file_range(os.open("/etc/passwd", 0), fd, 10, 0, LARGEST))


def after(*seek):
    return lambda fd: (os.write(fd, b"x"), os.lseek(fd, *seek), os.write(fd, b"xy"))


say("write after a write", after(LARGEST, 0))
say("write up to it", after(LARGEST - 1, 0))
say("write after the end", after(LARGEST, 2))
say("write further on", after(LARGEST, 1))
say("write below it", after(9 << 40, 0))
say("seek", lambda fd: os.lseek(fd, 1 << 62, 0))
say("seek in steps", lambda fd: [os.lseek(fd, 3 << 40, 1) for _ in range(6)])
say("seek to the last", lambda fd: os.lseek(fd, (1 << 63) - 1, 0))
say("seek to read", lambda fd: os.lseek(os.open("s", 0), 1 << 62, 0))
say("fallocate", lambda fd: os.posix_fallocate(fd, LARGEST, 10))


def stream(fd, offset):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.fopen.restype = ctypes.c_void_p
    file = ctypes.c_void_p(libc.fopen(b"s", b"r+"))
    said = libc.fputs(b"q", file) >= 0, libc.fseeko(file, ctypes.c_long(offset), 0)
    libc.fputs(b"z", file)
    flushed = libc.fflush(file), errno.errorcode.get(ctypes.get_errno())
    libc.fclose(file)
    return said, flushed


say("stream", lambda fd: stream(fd, LARGEST))
say("stream to where none is", lambda fd: stream(fd, 1 << 62))
