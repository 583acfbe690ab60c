# natively: errno 14
# hosted: signal 11
import ctypes, os

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
place = libc.mmap(None, 4096, 3, 0x22, -1, 0)
libc.munmap(ctypes.c_void_p(place), 4096)
child = os.fork()
if child == 0:
    libc.open(ctypes.c_void_p(place), os.O_RDONLY)
    os._exit(ctypes.get_errno())
status = os.waitpid(child, 0)[1]
print(f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"errno {status >> 8}")
