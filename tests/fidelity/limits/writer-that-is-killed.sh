#custom
# needs: busybox
# natively: new
# hosted: old
cat > writer.py <<'P'
import os, signal, time
file = open("build/f", "w"); file.write("old\n"); file.flush(); open("ready", "w").close()
while not os.path.exists("go"): time.sleep(0.02)
file.seek(0); file.write("new\n"); file.flush(); os.kill(os.getpid(), signal.SIGKILL)
P
cat > step.sh <<'X'
python3 writer.py & until [ -e ready ]; do sleep 0.02; done
mkfifo pipe; busybox sh -c 'echo > started; read line < pipe; busybox cat build/f' & until [ -e started ]; do sleep 0.02; done
echo > go; wait %1 2> /dev/null; echo > pipe; wait
X
$RUN bash step.sh 2> /dev/null
