# foreign-function interfaces ask dlsym of the handle of libc.so.6 itself, where no preload is in the way
import ctypes, os

libc = ctypes.CDLL("libc.so.6", use_errno=True)
open("by_python", "w").write("one\n")
fd = libc.open(b"by_python", os.O_RDONLY)
print("open:", "ok" if fd >= 0 else os.strerror(ctypes.get_errno()))
print(os.read(fd, 100) if fd >= 0 else "")
fd = libc.open(b"by_libc", os.O_RDWR | os.O_CREAT, 0o644)
os.write(fd, b"two\n")
os.close(fd)
print(sorted(os.listdir(".")), open("by_libc").read())
libc.fopen.restype = ctypes.c_void_p
libc.fclose.argtypes = [ctypes.c_void_p]
stream = libc.fopen(b"by_python", b"r")
print("fopen:", bool(stream), libc.fclose(stream) if stream else "")
print(
    "mkdir:",
    libc.mkdir(b"made", 0o755),
    "chdir:",
    libc.chdir(b"made"),
    os.path.basename(os.getcwd()),
)
os.chdir("..")
print("rename:", libc.rename(b"by_python", b"renamed"), "unlink:", libc.unlink(b"by_libc"))
print(sorted(os.listdir(".")))
print("missing:", libc.open(b"nowhere", 0), ctypes.get_errno())
all_of_it = ctypes.CDLL(None)
print("of the program:", all_of_it.open(b"renamed", 0) >= 0)
try:
    libc.no_such_function
except AttributeError as error:
    print(str(error).split(": ")[-1])
