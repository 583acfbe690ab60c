# natively: a handle
# hosted: EOPNOTSUPP
import ctypes, errno

libc = ctypes.CDLL(None, use_errno=True)
open("file", "w").close()
handle = (ctypes.c_uint * 64)(128)
done = libc.name_to_handle_at(-100, b"file", handle, ctypes.byref(ctypes.c_int()), 0)
print("a handle" if done == 0 else "EOPNOTSUPP" if ctypes.get_errno() == errno.EOPNOTSUPP else "?")
