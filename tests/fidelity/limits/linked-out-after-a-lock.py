# natively: linked
# hosted: EXDEV
import errno
import fcntl
import mmap
import os

with open("file", "wb+") as file:
    file.write(b"text")
    file.flush()
    with mmap.mmap(file.fileno(), 4, prot=mmap.PROT_READ):  # it stays in memory
        fcntl.lockf(file, fcntl.LOCK_EX)
try:
    os.link("file", "../outside")
    print("linked")
except OSError as error:
    print(errno.errorcode[error.errno])
