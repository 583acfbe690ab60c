# natively: the atime moved
# hosted: the atime stayed
import os

os.mkdir("d"), open("d/f", "w").close()
os.utime("d", (1, 1))
os.listdir("d")
print("the atime", "moved" if os.stat("d").st_atime > 1 else "stayed")
