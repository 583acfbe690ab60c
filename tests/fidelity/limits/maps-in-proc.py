# natively: /proc/self/maps names the file
# hosted: /proc/self/maps names another
import mmap

open("file", "w").write("text")
with open("file", "r+b") as file:
    mapped = mmap.mmap(file.fileno(), 0)
    named = any(line.rstrip().endswith("/build/file") for line in open("/proc/self/maps"))
print("/proc/self/maps names", "the file" if named else "another")
