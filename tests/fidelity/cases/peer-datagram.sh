#custom
# messages without a connection: by a name, an abstract name and a port
cat > server.py <<'P'
import socket, select, sys, os
path, abstract, port = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
path.bind(sys.argv[1]); abstract.bind("\0" + sys.argv[2]); port.bind(("127.0.0.1", 0))
open("port.new", "w").write(str(port.getsockname()[1])); os.rename("port.new", "port")
while True:
    for s in select.select([path, abstract, port], [], [])[0]:
        words, sender = s.recvfrom(4096)
        if words == b"end": sys.exit()
        source, target = words.decode().split()
        text = open(source).read() if os.path.exists(source) else "nothing\n"
        open(target, "w").write(text)
        s.sendto(b"done", sender)
P
cat > client.py <<'P'
import os, socket, sys
def say(s, to, words):
    s.sendto(words.encode(), to)
    if words != "end": s.recv(10)
def named():
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(""); return s
port = ("127.0.0.1", int(open("port").read()))
if sys.argv[3:]: say(named(), sys.argv[1], "end"); sys.exit()
for i, (s, to) in enumerate([(named(), sys.argv[1]), (named(), "\0" + sys.argv[2]), (socket.socket(socket.AF_INET, socket.SOCK_DGRAM), port)]):
    for turn in range(2):
        open("build/in%d" % i, "w").write("text %d %d\n" % (i, turn))
        say(s, to, "build/in%d build/out%d" % (i, i)); print(open("build/out%d" % i).read().strip())
print(sorted(os.listdir("build")))
P
python3 server.py "$HERE/d.sock" velo-test-$$ & server=$!
until test -e port; do sleep 0.05; done
$RUN python3 client.py "$HERE/d.sock" velo-test-$$
python3 client.py "$HERE/d.sock" velo-test-$$ end; wait $server; rm -f port d.sock
