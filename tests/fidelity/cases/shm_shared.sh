#custom
# needs: root unshare gcc python3
# /dev/shm has other users: one of them takes most of it after the server has started
cat > b.sh <<'X'
for i in $(seq 12); do cp src build/f$i || echo "cp $i fails"; done; cat build/f* | wc -c
python3 -c '
import mmap
with open("build/m", "w+b") as f:
    f.truncate(4000000)
    with mmap.mmap(f.fileno(), 0) as m:
        for i in range(0, 4000000, 4096): m[i] = 65
print("mapped")'; echo $?
gcc -x c -c /dev/null -o build/e.o; echo $?; rm build/e.o
X
head -c 1500000 /dev/urandom > src
unshare -m bash -c 'unset VELO_RUNTIME_DIR
mount -t tmpfs -o size=50m shm /dev/shm
$RUN cp src build/f0; head -c ${OTHERS:-42}000000 /dev/zero > /dev/shm/other
$RUN bash b.sh 2>&1; echo "-> $?"; ls build | wc -l
head -c 50000000 /dev/zero >> /dev/shm/other 2> /dev/null; rm build/f*
$RUN bash b.sh 2>&1; echo "-> $?"; ls build | wc -l; rm /dev/shm/other
[ $SIDE = hosted ] && $VELO stop > /dev/null 2>&1; ls -A /dev/shm'
cat build/f* | wc -c; rm -rf build/f* src
