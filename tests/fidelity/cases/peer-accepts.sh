#custom
# a server that acts as soon as somebody connects, and is sent nothing (as inetd starts programs)
cat > server.py <<'P'
import os, socket, sys
s = socket.socket(socket.AF_UNIX); s.bind("\0" + sys.argv[1]); s.listen(5); open("ready", "w").close()
for _ in range(2):
    c, _ = s.accept(); text = open("build/in").read() if os.path.exists("build/in") else "nothing\n"
    open("build/copy", "w").write(text); c.close()
P
cat > client.py <<'P'
import socket, sys
c = socket.socket(socket.AF_UNIX); c.connect("\0" + sys.argv[1]); c.recv(1); print(open("build/copy").read().strip())
P
name=velo-test-$$
python3 server.py $name & server=$!
until test -e ready; do sleep 0.05; done
cat > step.sh <<'X'
for i in 1 2; do seq $i 20000 > build/in; python3 client.py $1 | md5sum; done
X
$RUN bash step.sh $name
wait $server; rm -f ready
