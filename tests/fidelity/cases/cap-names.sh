#custom
# more names than memory holds, found and made: they are looked at, listed, changed, moved and removed
printf '[live]\nmax_memory = "4MB"\naggressive_paths = ["build/"]\n' > velo.toml
for d in $(seq 20); do mkdir build/d$d; (cd build/d$d; seq 400 | sed 's/^/file/' | xargs touch; echo abc | tee file7 file8 > /dev/null); done
cat > step.sh <<'X'
cd build; ls | wc -l; find . -type f | wc -l; find . -name file7 | sort | sha256sum
stat -c %s d3/file7 d19/file400; ls d18 | sort | tail -1
echo new > d19/new; mkdir d19/sub; echo x > d19/sub/x; mv d19/sub d1/sub; cat d1/sub/x; mv d1/file7 d19/moved; cat d19/moved
mv d18 other; ls | sort | tr '\n' ' '; ls other | wc -l; rm -rf other; ls | wc -l; mkdir d18; ls d18; ln d1/file8 d19/twin; stat -c %h d1/file8 d19/twin
(cd d19; ls | wc -l; cat ../d19/new; echo more >> new; cat "$PWD/new"; cd ..; cat d19/new)
exec 7> d2/held; echo one >&7
python3 - <<'Y'
import os
os.mkdir("many")
for i in range(6000):
    with open(f"many/{i}", "w") as file: file.write("x")
print(len(os.listdir("many")), sum(os.stat(f"many/{i}").st_size for i in range(6000)))
for i in range(200):
    os.makedirs(f"deep/{i}/below"); os.symlink("below", f"deep/{i}/link")
    for j in range(20): open(f"deep/{i}/link/a-name-that-is-longer-than-what-fits-into-one-slot-of-the-table-{j}", "w").close()
    os.rename(f"deep/{i}/below/a-name-that-is-longer-than-what-fits-into-one-slot-of-the-table-3", f"deep/{i}/three")
print(sorted(os.listdir("deep/7")), len(os.listdir("deep/199/link")))
fd = os.open("many", os.O_RDONLY)
print(os.stat("5", dir_fd=fd).st_size, len(os.listdir(fd)))
Y
echo two >&7; exec 7>&-; cat d2/held; find . | sort | sha256sum; rm -rf many deep; ls | wc -l
X
$RUN bash step.sh 2>&1; echo "-> $?"
$RUN sh -c 'find build | wc -l; echo again > build/d19/again; cat build/d*/again; rm -r build/d1*; ls build | wc -l' 2>&1
rm step.sh
