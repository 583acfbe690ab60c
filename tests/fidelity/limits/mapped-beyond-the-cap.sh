#custom
# natively: written
# hosted: ENOSPC
printf '[live]\nmax_memory = "16MB"\naggressive_paths = ["build/"]\n' > velo.toml
$RUN python3 -c '
import errno, mmap
file = open("build/big", "w+b", buffering=0)
file.write(bytes(4096))
held = mmap.mmap(file.fileno(), 4096)
try:
    for _ in range(40): file.write(b"x" * (1 << 20))
    print("written")
except OSError as error: print(errno.errorcode[error.errno])'
rm -f build/big
