# natively: new
# hosted: not there
# needs: /lib64/ld-linux-x86-64.so.2
import ctypes, mmap, os

with open("file", "w") as file:
    file.write("new")
code = bytes.fromhex("4889f8 4889f7 4889d6 4889ca 0f05 c3")  # syscall(2) with three arguments
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(code)
start = ctypes.addressof(ctypes.c_char.from_buffer(page))
call = ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_long, ctypes.c_char_p, ctypes.c_long, ctypes.c_long)(start)
SYS_OPEN = 2
fd = call(SYS_OPEN, b"file", os.O_RDONLY, 0)
print(os.read(fd, 9).decode() if fd >= 0 else "not there")
