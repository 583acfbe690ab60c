# needs: root losetup
# a file in a hosted directory becomes a block device by ioctls that go past libc's function; both sides see what is written
import ctypes, fcntl, os, platform
libc = ctypes.CDLL(None, use_errno=True)
IOCTL = {"x86_64": 16, "aarch64": 29}[platform.machine()]
LOOP_SET_FD, LOOP_CLR_FD, LOOP_CTL_GET_FREE = 0x4C00, 0x4C01, 0x4C82
def ioctl(fd, request, argument=0): return libc.syscall(ctypes.c_long(IOCTL), ctypes.c_long(fd), ctypes.c_long(request), ctypes.c_long(argument))
with open("image", "wb") as f: f.write(b"first" + bytes(1 << 20))
control = os.open("/dev/loop-control", os.O_RDWR)
for _ in range(50):
    number = ioctl(control, LOOP_CTL_GET_FREE)
    try: device = os.open(f"/dev/loop{number}", os.O_RDWR)
    except OSError: continue
    image = os.open("image", os.O_RDWR)
    if ioctl(device, LOOP_SET_FD, image) == 0: break
    os.close(device); os.close(image)
print(os.pread(device, 5, 0))
print(open(f"/sys/block/loop{number}/loop/backing_file").read().strip().removeprefix(os.getcwd()))
os.pwrite(device, b"other", 0); os.fsync(device)
print(open("image", "rb").read(5), os.pread(image, 5, 0))
print(ioctl(device, LOOP_CLR_FD)); os.close(device)
