#custom the command sees other mounts than the server that runs already
# needs: root
mkdir -p build/m mnt; echo below > build/m/below
$RUN sh -c 'echo 1 > build/1'
unshare -m sh -c 'mount -t tmpfs -o size=1m none build/m; mount --bind build mnt
  $RUN sh -c "echo x > build/m/f; cat build/m/f; echo y > build/y; cat mnt/y; echo z > mnt/z; cat build/z; ls build build/m"; ls build build/m; cat build/y'
$RUN sh -c 'ls build build/m; cat build/y; echo w > build/m/w'; cat build/m/w
