# natively: links 2, read to write: renamed, sees 'outside'
# hosted: links 1, read to write: EXDEV, sees ''
import errno, os

open("one", "w").close(), os.link("one", "two")
reader = open("one")
os.rename("one", "../one")
open("../one", "w").write("outside")
links, seen = os.stat("two").st_nlink, open("two").read()
open("three", "w").close(), os.link("three", "four")
child = os.pipe(), os.pipe()
if os.fork() == 0:
    held = open("three", "w")
    os.write(child[0][1], b"x"), os.read(child[1][0], 1), os._exit(0)
os.read(child[0][0], 1)
try:
    os.rename("three", "../three")
    renamed = "renamed"
except OSError as error:
    renamed = errno.errorcode[error.errno]
os.write(child[1][1], b"x"), os.wait()
print(f"links {links}, read to write: {renamed}, sees {seen!r}")
