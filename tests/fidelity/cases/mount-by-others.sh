#custom somebody outside mounts while the command runs: below a hosted directory, and a second name of it
# needs: root
mkdir -p build/m mnt; mkfifo go done; trap 'umount -lq build/m mnt' EXIT
seen() { # the server has heard of it, and has put the tree
    [ $SIDE = native ] || for _ in {1..200}; do
        "$VELO" status --json | python3 -c 'import json, sys; sys.exit(json.load(sys.stdin)["escapes"]["mount"] < 2)' && [ -e mnt/first ] && break
    done
}
$RUN sh -c 'echo first > build/first; echo below > build/m/below; echo > done; read x < go
  cat build/m/in; echo by > build/m/by; echo second > build/second; cat build/third; echo > done; read x < go
  n=0; until [ -e build/m/below ] || [ $n = 100000 ]; do n=$((n + 1)); done; cat build/m/below; ls build build/m' &
read x < done; mount --bind build mnt; mount -t tmpfs none build/m; echo in > build/m/in; seen
cat mnt/first; echo third > mnt/third; echo > go; read x < done; cat mnt/second build/m/by; ls build/m
umount mnt build/m; echo > go; wait; cat build/m/below; ls build/m; rm go done
