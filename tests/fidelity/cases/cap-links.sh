#custom
# more names than memory holds, most of them links: each is made, counted, read and removed
printf '[live]\nmax_memory = "2MB"\naggressive_paths = ["build/"]\n' > velo.toml
mkdir build
cat > links.py <<'X'
import os

os.mkdir("build/files")
for i in range(100):
    with open(f"build/files/{i}", "w") as file:
        file.write(f"{i}")
for directory in range(100):
    os.mkdir(f"build/l{directory}")
for directory in range(100):
    for i in range(100):
        os.link(f"build/files/{i}", f"build/l{directory}/{i}")
print({os.stat(f"build/files/{i}").st_nlink for i in range(100)})
print(open("build/l99/7").read(), open("build/l0/99").read())
with open("build/l50/8", "a") as file:
    file.write("+")
print(open("build/l3/8").read(), sum(len(names) for _, _, names in os.walk("build")))
os.link("build/l7/7", "build/l8/again")
os.rename("build/l7/7", "build/l9/moved")
print(os.stat("build/files/7").st_nlink, sorted(os.listdir("build/l9"))[-2:])
for i in range(100):
    os.mkfifo(f"build/l1/fifo{i}")
    os.symlink("7", f"build/l2/link{i}")
print(len(os.listdir("build/l1")), open("build/l2/link3").read())
X
$RUN python3 links.py 2>&1; echo "-> $?"
$RUN sh -c 'find build | wc -l; rm -rf build/l?; find build | wc -l; cat build/files/8; rm -rf build/*; ls build' 2>&1
rm links.py
