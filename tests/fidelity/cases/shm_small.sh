#custom
# needs: root unshare gcc python3
# a container's /dev/shm: small and noexec; the build writes three times as much
cat > step.sh <<'X'
for i in $(seq 20); do head -c 3000000 /dev/zero | tr '\0' "$((i % 10))" > build/f$i; done
cat build/f* | wc -c
echo 'int main(){return 42;}' > build/m.c; gcc build/m.c -o build/m; build/m; echo $?
gcc -shared -fPIC -x c /dev/null -o build/l.so
python3 -c '
import ctypes, mmap
ctypes.CDLL("build/l.so")
with open("build/f1", "r+b") as f, mmap.mmap(f.fileno(), 0) as m: print(m[5:8])'
head -c 50000000 /dev/zero > build/big; wc -c < build/big; md5sum build/f* build/big | sort -k2 | md5sum
rm build/m build/l.so
X
unshare -m bash -c 'unset VELO_RUNTIME_DIR
mount -t tmpfs -o size=32m,noexec,nosuid,nodev shm /dev/shm
$RUN bash step.sh 2>&1; echo "-> $?"; ls build | wc -l
[ $SIDE = hosted ] && $VELO stop > /dev/null 2>&1; ls -A /dev/shm'
