#custom
# natively: the same inode number
# hosted: another inode number
echo old > build/file
$RUN python3 -c '
import os
file = open("build/file"); before = os.fstat(file.fileno()).st_ino
os.unlink("build/file")
after = os.fstat(file.fileno()).st_ino
print("the same inode number" if before == after else "another inode number")'
