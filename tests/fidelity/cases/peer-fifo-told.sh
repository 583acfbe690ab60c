#custom
# a process outside makes files and tells one inside by a FIFO in a directory of its own, which that only reads
mkdir -p ctl/deep
(mkfifo ctl/deep/go; for i in 1 2 3; do until test -e build/asked$i; do sleep 0.01; done; echo made $i > build/made$i; echo $i > build/counter; echo go $i > ctl/deep/go; done) &
until test -p ctl/deep/go; do sleep 0.02; done
$RUN bash -c 'for i in 1 2 3; do test -e build/made$i || echo none yet; : > build/asked$i
  velo_sync() { [ -z "$VELO_ARENA" ] || $VELO sync >/dev/null 2>&1; }; velo_sync
  read -r word < ctl/deep/go; echo "$word"; cat build/made$i build/counter; ls build; done'
wait; rm -r ctl
