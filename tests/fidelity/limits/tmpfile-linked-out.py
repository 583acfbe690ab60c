# natively: linked
# hosted: EXDEV
import errno, os

file = os.open(".", os.O_TMPFILE | os.O_RDWR)
try:
    os.link(f"/proc/self/fd/{file}", "../outside", src_dir_fd=0, follow_symlinks=True)
    print("linked")
except OSError as error:
    print(errno.errorcode[error.errno])
