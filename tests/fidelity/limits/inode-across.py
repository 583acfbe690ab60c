# natively: the same inode number
# hosted: another inode number
import os

open("file", "w").close()
before = os.stat("file").st_ino
os.rename("file", "../file")
print("the same inode number" if os.stat("../file").st_ino == before else "another inode number")
open("left", "w").close()
