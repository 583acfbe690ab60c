#custom
# a daemon that a command left running works for a later command and for programs outside, also when the server was stopped
cat > server.py <<'P2'
import os, socket, subprocess, sys
if os.fork(): sys.exit()
os.setsid(); n = os.open("/dev/null", os.O_RDWR); [os.dup2(n, i) for i in range(3)]
s = socket.socket(socket.AF_UNIX); s.bind("build/d.sock"); s.listen(5)
def do(line):
    source, target = line.split()
    try:
        text = open(source).read(); open("build/log","a").write(text)
        open(target, "w").write("got " + text); os.makedirs(target + ".d/x", exist_ok=True); os.rename(target, target + ".d/x/y"); os.link(target + ".d/x/y", target)
        subprocess.run("cat build/log > build/sorted; cat build/none", shell=True, stdout=subprocess.DEVNULL, stderr=open("build/said", "w"))
        return "%s %d %s" % (sorted(os.listdir("build")), os.stat(source).st_size, os.path.exists("build/one"))
    except OSError as error: return repr(error)
while True:
    c, _ = s.accept(); f = c.makefile("rw"); line = f.readline().strip()
    if line == "end": break
    f.write(do(line)); f.close(); c.close()
P2
cat > client.py <<'P2'
import socket, sys
c = socket.socket(socket.AF_UNIX); c.connect("build/d.sock"); c.sendall(sys.argv[1].encode() + b"\n"); print(c.makefile().read().strip())
P2
$RUN python3 server.py; until test -S build/d.sock; do sleep 0.05; done
$RUN bash -c 'echo 1 > build/one; python3 client.py "build/one build/two"; cat build/two; ls build'
echo out > build/three; python3 client.py 'build/three build/four'; cat build/four; ls build
$RUN bash -c 'echo 5 > build/five; python3 client.py "build/five build/six"; cat build/six; ls build'; cat build/six
test $SIDE = native || $VELO stop
echo 6b > build/between
python3 client.py 'build/between build/seven'; cat build/seven; ls build build/seven.d/x
$RUN bash -c 'echo 8 > build/eight; python3 client.py "build/eight build/nine"; cat build/nine; ls build; rm build/one'; cat build/nine
python3 client.py 'build/nine build/ten'; cat build/ten
$RUN bash -c 'cat build/ten; echo 11 > build/eleven; python3 client.py "build/eleven build/twelve"; cat build/twelve; ls build'; cat build/log build/said
python3 client.py end; ls build
