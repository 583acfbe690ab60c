#custom
# needs: root unshare
# natively: mapped
# hosted: EPERM
cat > inside.sh <<'X'
mount -o remount,bind,noexec /dev/shm
$RUN python3 -c '
import errno, mmap
file = open("build/file", "w+b", buffering=0)
file.write(bytes(4096))
try:
    mmap.mmap(file.fileno(), 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC)
    print("mapped")
except OSError as error:
    print(errno.errorcode[error.errno])'
X
unshare -m bash inside.sh
