#custom
# a server that was there before makes files for a program inside, and reads what that made: by the name of a socket
cat > server.py <<'P'
import os, socket, subprocess, sys
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(5)
while True:
    c, _ = s.accept(); line = c.makefile().readline().strip()
    if line == "end": break
    r = subprocess.run(line, shell=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    c.sendall((str(r.returncode) + " " + r.stdout + r.stderr).encode()); c.close()
P
cat > client.py <<'P'
import socket, sys
c = socket.socket(socket.AF_UNIX); c.connect(sys.argv[1]); c.sendall(sys.argv[2].encode() + b"\n"); print(c.makefile().read().strip())
P
python3 server.py "$HERE/s.sock" & server=$!
until test -S s.sock; do sleep 0.05; done
cat > step.sh <<'X'
mkdir build/sub; echo 1 > build/sub/in; printf '#!/bin/sh\necho tool\n' > build/tool; chmod +x build/tool
python3 client.py s.sock 'cat build/sub/in; build/tool; tr 1 2 < build/sub/in > build/out; mkdir build/made; echo x > build/made/y; rm build/tool'
cat build/out build/made/y; ls build build/made; test -e build/tool || echo gone
echo 3 > build/sub/in; python3 client.py s.sock 'cat build/sub/in; echo more >> build/out'; cat build/out
X
$RUN bash step.sh; ls build
$RUN bash -c 'echo 4 > build/later; cat build/out build/later'
python3 client.py s.sock end; wait $server; rm -f s.sock
