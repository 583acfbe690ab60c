# natively: EINVAL
# hosted: a path
import ctypes, errno, os

libc = ctypes.CDLL(None, use_errno=True)
libc.dlvsym.restype = ctypes.c_void_p
first = libc.dlvsym(None, b"realpath", b"GLIBC_2.2.5" if os.uname().machine == "x86_64" else b"GLIBC_2.17")
realpath = ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p, use_errno=True)(first)
open("f", "w").close()
print("a path" if realpath(b"f", None) else errno.errorcode[ctypes.get_errno()])
