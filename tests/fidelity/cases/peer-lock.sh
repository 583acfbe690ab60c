#custom
# needs: flock
# a lock that is taken inside is seen outside, and the other way round: flock, fcntl's and lockf's; of new files and old
cat > take.py <<'P'
import fcntl, os, struct, sys, time
kind, path, word = sys.argv[1:4]
f = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
def take(flags):
    if kind == "flock": fcntl.flock(f, flags)
    elif kind == "ofd": fcntl.fcntl(f, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))
    else: fcntl.lockf(f, flags)
try:
    take(fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError as error:
    print(kind, word, "busy"); sys.exit()
print(kind, word, "taken", flush=True); os.write(f, word.encode() + b"\n")
if word == "hold":
    open(path + ".held", "w").close()
    open("held", "w").close()
    while not os.path.exists("go"): time.sleep(0.01)
P
inside() { $RUN python3 take.py "$@"; }
outside() { env -u VELO_ARENA -u LD_PRELOAD python3 take.py "$@"; }
for kind in flock lockf ofd; do
  [ $kind = flock ] || $RUN bash -c "echo old > build/$kind"
  inside $kind build/$kind hold & until test -e held; do sleep 0.02; done
  outside $kind build/$kind try; rm held; touch go; wait $!; rm go; outside $kind build/$kind again; cat build/$kind
  outside $kind build/$kind hold & until test -e held; do sleep 0.02; done
  inside $kind build/$kind try; rm held; touch go; wait $!; rm go; inside $kind build/$kind again; cat build/$kind
done
$RUN bash -c 'exec 9> build/shell; flock 9; echo locked; flock -n build/shell true || echo busy'
