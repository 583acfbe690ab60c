# directories that are named by what a process has: its working directory, its root, its descriptors
mkdir -p build/d; cd build; echo one > d/a; echo two > b
sleep 1000 & other=$!; (cd d; exec sleep 1000) & below=$!
until [ "$(readlink /proc/$below/cwd)" = "$PWD/d" ] && [ "$(cat /proc/$below/comm)" = sleep ]; do sleep 0.01; done
ls /proc/$other/cwd | cat; ls /proc/$other/cwd/; ls /proc/$below/root"$PWD" /proc/$below/task/$below/cwd | sed 's/[0-9][0-9]*/N/g'
cat /proc/$below/cwd/a /proc/$other/root"$PWD"/b; mv d/a /proc/$other/cwd/c; find /proc/$other/cwd/ -type f | wc -l
python3 - $other <<'P'
import os, sys
other = sys.argv[1]
open("fresh", "w").write("fresh\n")
held = os.open("d", os.O_RDONLY); open("d/e", "w").close()
for path in ("self/cwd", "thread-self/cwd", f"{os.getppid()}/cwd", f"{other}/cwd", f"{other}/root{os.getcwd()}",
             f"self/fd/{held}", f"{os.getpid()}/fd/{held}", f"self/task/{os.getpid()}/fd/{held}"):
    path = "/proc/" + path
    print(sorted(os.listdir(path)), len(list(os.scandir(path))), os.stat(path).st_size == os.stat(path + "/").st_size)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY); print(sorted(os.listdir(fd)))
print(sorted(os.listdir(f"/dev/fd/{held}")), os.path.islink("/proc/self/cwd"), os.path.samefile("/proc/self/cwd", "."))
os.chdir(f"/proc/{other}/cwd"); print(sorted(os.listdir(".")), open("fresh").read(), os.path.basename(os.getcwd()))
P
kill $other $below
