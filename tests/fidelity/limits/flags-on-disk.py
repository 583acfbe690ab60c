# natively: extents True, O_DIRECT out of line EINVAL
# hosted: extents False, O_DIRECT out of line 3
import errno, fcntl, os, struct

with open("file", "w+b", buffering=0) as file:
    file.write(bytes(8192)), os.fsync(file.fileno())
    asked = bytearray(struct.pack("=QQLLLL", 0, 1 << 40, 1, 0, 8, 0) + bytes(56 * 8))
    try:
        fcntl.ioctl(file, 0xC020660B, asked)  # FS_IOC_FIEMAP
        extents = struct.unpack_from("=L", asked, 20)[0] > 0
    except OSError as error:
        extents = False
direct = os.open("file", os.O_RDONLY | os.O_DIRECT)
try:
    read = len(os.read(direct, 3))
except OSError as error:
    read = errno.errorcode[error.errno]
print(f"extents {extents}, O_DIRECT out of line {read}")
