#custom
# needs: root unshare
# /dev/shm is missing, read-only, tiny or somebody else's: natively, and one line that says so
step='mkdir -p build; echo hi > build/a; cat build/a; exit 7'
for how in 'mount -t tmpfs -o ro shm /dev/shm' 'mount -t tmpfs -o size=4k shm /dev/shm' \
  'mount -t tmpfs -o nr_inodes=8 shm /dev/shm' 'mount --bind /proc /dev/shm'; do
  rm -rf build; echo "== $how"
  unshare -m bash -c "unset VELO_RUNTIME_DIR; $how"'
  $RUN sh -c "$0" 2> said; echo "-> $?"; cat build/a
  if [ $SIDE = hosted ]; then
    grep -cv "^velo: .*; sh runs natively, nothing is hosted$" said | grep -v "^0$"
    wc -l < said | tr -d 1\\n
    $VELO exec --require -- touch build/ran 2> /dev/null; echo "$?" | grep -v 125
    $VELO exec --quiet -- true 2>&1
  fi; rm said; ls build' "$step"
done 2>&1
