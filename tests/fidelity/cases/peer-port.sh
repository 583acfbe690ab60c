#custom
# the same by a port of this machine, over IPv4, IPv6 and mapped; the socket does not wait for its connection
cat > server.py <<'P'
import socket, subprocess, sys
s = socket.socket(socket.AF_INET6); s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0); s.bind(("::", 0)); s.listen(5)
open("port.new", "w").write(str(s.getsockname()[1])); __import__("os").rename("port.new", "port")
while True:
    c, _ = s.accept(); line = c.makefile().readline().strip()
    if line == "end": break
    r = subprocess.run(line, shell=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    c.sendall((str(r.returncode) + " " + r.stdout + r.stderr).encode()); c.close()
P
cat > client.py <<'P'
import select, socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
c = socket.socket(family); c.setblocking(False); c.connect_ex((sys.argv[1], int(open("port").read())))
select.select([], [c], []); c.setblocking(True)
c.sendall(sys.argv[2].encode() + b"\n"); print(c.makefile().read().strip())
P
python3 server.py & server=$!
until test -e port; do sleep 0.05; done
cat > step.sh <<'X'
echo 1 > build/in
python3 client.py 127.0.0.1 'cat build/in; echo a > build/a'; cat build/a; echo 2 > build/in
python3 client.py ::1 'cat build/in; echo b > build/b'; cat build/b; echo 3 > build/in
python3 client.py ::ffff:127.0.0.1 'cat build/in; echo c > build/c'; cat build/c; ls build
X
$RUN bash step.sh
python3 client.py 127.0.0.1 end; wait $server; rm -f port
