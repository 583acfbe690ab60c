#custom
# the command inherits a socket whose other end somebody outside has
cat > parent.py <<'P'
import os, shlex, socket, subprocess, sys
ours, theirs = socket.socketpair(); os.set_inheritable(theirs.fileno(), True)
command = [*os.environ["RUN"].split(), "python3", "child.py", str(theirs.fileno())]
child = subprocess.Popen(command, pass_fds=[theirs.fileno()]); theirs.close()
while words := ours.recv(100).decode():
    print("parent sees", os.path.exists(words) and open(words).read().strip(), flush=True)
    open(words + ".answer", "w").write("answer\n"); ours.sendall(b"x")
print(child.wait())
P
cat > child.py <<'P'
import os, socket, sys
s = socket.socket(fileno=int(sys.argv[1]))
for i in range(3):
    name = "build/%d" % i; open(name, "w").write("text %d\n" % i); s.sendall(name.encode()); s.recv(1)
    print("child sees", open(name + ".answer").read().strip(), sorted(os.listdir("build")), flush=True)
P
python3 parent.py
