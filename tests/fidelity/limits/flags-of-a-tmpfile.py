# natively: O_TMPFILE
# hosted: none
import fcntl
import os

file = os.open(".", os.O_TMPFILE | os.O_RDWR)
shown = fcntl.fcntl(file, fcntl.F_GETFL) & os.O_TMPFILE == os.O_TMPFILE
print("O_TMPFILE" if shown else "none")
