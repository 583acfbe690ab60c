#custom
# descriptors that are handed to a process outside, which reads, writes and names what it got; and one handed back
cat > server.py <<'P'
import array, os, socket, sys
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(5)
c, _ = s.accept(); _, fds, _, _ = socket.recv_fds(c, 10, 3)
for fd in fds: print("server has", os.path.relpath(os.readlink("/proc/self/fd/%d" % fd)), os.fstat(fd).st_nlink)
print("server reads", os.pread(fds[1], 100, 0), flush=True); os.write(fds[0], b"from the server\n"); os.ftruncate(fds[2], 3)
socket.send_fds(c, [b"x"], [os.open("build/back", os.O_RDWR | os.O_CREAT, 0o644)])
P
cat > client.py <<'P'
import os, socket, sys
log = os.open("build/log", os.O_RDWR | os.O_CREAT, 0o644); os.write(log, b"from the client\n")
open("build/text", "w").write("to be read"); text = open("build/text"); cut = open("build/cut", "w+"); cut.write("123456"); cut.flush()
c = socket.socket(socket.AF_UNIX); c.connect(sys.argv[1]); socket.send_fds(c, [b"x"], [log, text.fileno(), cut.fileno()])
_, fds, _, _ = socket.recv_fds(c, 10, 1); os.write(fds[0], b"back\n"); os.write(log, b"and again\n")
for name in sorted(os.listdir("build")): print(name, os.stat("build/" + name).st_size, open("build/" + name).read().split("\n"))
print(os.fstat(log).st_size, os.pread(log, 100, 0), os.fstat(cut.fileno()).st_size)
P
python3 server.py "$HERE/s.sock" & server=$!
until test -S s.sock; do sleep 0.05; done
$RUN python3 client.py "$HERE/s.sock"; wait $server; rm -f s.sock
