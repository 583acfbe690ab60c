#custom
# files that are far more hole than data: put and synced in the time that their data takes
mkdir -p build
$RUN sh -c 'echo hello > build/disk.img; truncate -s 2T build/disk.img; ls -s build/disk.img | cut -d" " -f1'
$RUN python3 - <<'P'
import os
fd = os.open("build/ends.img", os.O_RDWR | os.O_CREAT)
os.pwrite(fd, b"begin", 0); os.pwrite(fd, b"end", (1 << 40) - 3); os.pwrite(fd, b"mid", 1 << 39)
os.close(fd)
P
for verb in sync unload; do
  [ $SIDE = hosted ] && { timeout 60 $VELO $verb || echo "$verb did not end well in 60 s"; }
done
timeout 60 $RUN sh -c 'echo 1 > build/other; head -c 5 build/disk.img; tail -c 3 build/ends.img; echo'
python3 -c '
import os
fd = os.open("build/ends.img", os.O_RDONLY)
print(os.pread(fd, 5, 0), os.pread(fd, 3, 1 << 39), os.fstat(fd).st_size, os.fstat(fd).st_blocks < 100)'
[ $SIDE = hosted ] && { timeout 60 $VELO stop || echo "stop did not end well in 60 s"; }
ls build; rm -f build/disk.img build/ends.img
