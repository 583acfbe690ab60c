#custom
# needs: root unshare
# /dev/shm has room, but hardly any inode
cat > step.sh <<'X'
for i in $(seq 150); do echo $i > build/f$i || echo "$i fails"; done; cat build/f* | sort -n | md5sum
mkdir build/d; mv build/f1* build/d; for i in $(seq 60); do echo more >> build/f2; done; wc -l build/f2; ls build build/d | wc -l
X
for count in 24 60 100; do
  rm -rf build; mkdir build
  unshare -m bash -c "unset VELO_RUNTIME_DIR; mount -t tmpfs -o nr_inodes=$count shm /dev/shm
  "'$RUN bash step.sh 2>&1; echo "-> $?"; ls build | wc -l
  [ $SIDE = hosted ] && $VELO stop > /dev/null 2>&1; ls -A /dev/shm'
done 2>&1 | grep -v "^velo: .*; bash runs natively, nothing is hosted$"
