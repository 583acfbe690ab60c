# what a process in a sandbox leaves running goes on to see the tree, and is seen
# needs: root python3
mkfifo go done; trap 'rm -f go done' EXIT
python3 - <<'P'
import ctypes, os
ctypes.CDLL(None).unshare(0x20000)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in range(3):
            open("go").read()
            with open(f"build/late{number}", "w") as out:
                print("late", sorted(os.listdir("build")), open("build/first").read().strip(), file=out)
            open("done", "w").write("x")
    os._exit(0)
os.wait()
P
echo first > build/first
for number in 0 1 2; do
    echo "$number" > "build/mine$number"; echo x > go; cat done; echo; cat "build/late$number"; echo "first $number" > build/first
done
ls build
