#custom
# clients outside of servers inside: by a name, an abstract name and a port; what the server makes they see, and it what they make
cat > server.py <<'P2'
import os, select, socket, subprocess, sys
path, abstract, port = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX), socket.socket(socket.AF_INET6)
path.bind("build/s.sock"); abstract.bind("\0" + sys.argv[1]); port.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0); port.bind(("::", 0))
for s in (path, abstract, port): s.listen(5)
for i in range(3): open("build/before%d" % i, "w").write("before %d\n" % i)
log = open("build/log", "w")
open("port.new", "w").write(str(port.getsockname()[1])); os.rename("port.new", "port")
while True:
    for s in select.select([path, abstract, port], [], [])[0]:
        c, _ = s.accept(); f = c.makefile("rw");
        for line in f:
            line = line.strip()
            if line == "end": sys.exit()
            log.write(line + "\n"); log.flush()
            r = subprocess.run(line, shell=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
            f.write((r.stdout + r.stderr).replace("\n", "; ") + "\n"); f.flush()
P2
cat > client.py <<'P2'
import os, socket, sys
def at(family, where): c = socket.socket(family); c.connect(where); return c
number = int(open("port").read())
ways = {"path": lambda: at(socket.AF_UNIX, "build/s.sock"), "abstract": lambda: at(socket.AF_UNIX, "\0" + sys.argv[1]),
        "port": lambda: at(socket.AF_INET, ("127.0.0.1", number)), "port6": lambda: at(socket.AF_INET6, ("::1", number))}
if sys.argv[2:]: ways["path"]().sendall(b"end\n"); sys.exit()
for way, connect in ways.items():
    f = connect().makefile("rw")
    def ask(words): f.write(words + "\n"); f.flush(); return f.readline().strip()
    print(way, ask("cat build/before0; echo made > build/%s; rm -f build/before1" % way), sorted(os.listdir("build")), open("build/" + way).read())
    os.mkdir("build/d" + way); open("build/d%s/f" % way, "w").write("client's\n"); open("build/" + way, "a").write("more\n")
    print(way, ask("cat build/d%s/f build/%s; ls build; echo again >> build/%s" % (way, way, way)), open("build/" + way).read().split("\n"))
    os.remove("build/d%s/f" % way); print(way, ask("ls build/d%s; rmdir build/d%s" % (way, way)), os.path.exists("build/d" + way))
P2
$RUN python3 server.py velo-test-$$ & server=$!
until test -e port; do sleep 0.05; done
python3 client.py velo-test-$$
$RUN python3 client.py velo-test-$$ 2>&1 | tail -3
python3 client.py velo-test-$$ end; wait $server; rm -f port; cat build/log
