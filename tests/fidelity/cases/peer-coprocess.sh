#custom
# the command inherits pipes to and from a coprocess that somebody outside is; then a FIFO that one reads
cat > parent.py <<'P'
import os, subprocess, sys
ask, answer = os.pipe(), os.pipe()
work = 'while read -r line; do eval "$line" 2>&1 | tr "\\n" ";"; echo; done'
worker = subprocess.Popen(["bash", "-c", work], stdin=ask[0], stdout=answer[1])
os.close(ask[0]), os.close(answer[1])
command = [*os.environ["RUN"].split(), "bash", "step.sh", str(ask[1]), str(answer[0])]
print(subprocess.run(command, pass_fds=(ask[1], answer[0])).returncode, flush=True)
os.close(ask[1])
worker.wait()
P
cat > step.sh <<'X'
ask() { echo "$1" >&$out; read -r -u $in said; echo "$said"; }
out=$1 in=$2; echo 1 > build/in; ask "cat build/in; tr 1 2 < build/in > build/out; rm build/in"
cat build/out; test -e build/in || echo gone
echo 3 > build/in; ask "cat build/in; mkdir build/made; echo y > build/made/f"; ls build build/made
X
python3 parent.py
mkfifo ask answer
(while read -r name; do cat build/$name; echo; done < ask > answer) &
exec 7> ask 8< answer
$RUN bash -c 'for i in 1 2 3; do echo text $i > build/t$i; echo t$i >&7; read -r said <&8; read -r end <&8; echo "$said"; done'
exec 7>&- 8<&-; wait; rm ask answer
