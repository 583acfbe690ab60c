# natively: renamed
# hosted: EXDEV
import errno, os

ready, go = os.pipe(), os.pipe()
if os.fork() == 0:
    held = open("file", "w")
    os.write(ready[1], b"x"), os.read(go[0], 1), os._exit(0)
os.read(ready[0], 1)
try:
    os.rename("file", "../file")
    print("renamed")
except OSError as error:
    print(errno.errorcode[error.errno])
os.write(go[1], b"x"), os.wait()
