# natively: the mtime moved
# hosted: the mtime stayed
import mmap, os

with open("file", "w+b", buffering=0) as file:
    file.write(bytes(4096))
    with mmap.mmap(file.fileno(), 4096) as memory:
        memory[0] = 1
        memory.flush()
        os.utime("file", (1, 1))
        memory[0] = 2
    print("the mtime", "moved" if os.stat("file").st_mtime > 1 else "stayed")
