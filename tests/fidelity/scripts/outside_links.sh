# Symlinks outside hosted directories that lead into them: every file is memory's while they are used.
t=$(mktemp -d); ln -s $PWD/build $t/x; ln -s ../build src/rel; ln -s build top; mkdir -p $t/deep/er; ln -s ../../x $t/deep/er/twice
echo one > build/one; cat $t/x/one src/rel/one top/one $t/deep/er/twice/one
echo two > $t/x/two; cat build/two; ls build src/rel/ top; ls $t/x/; ls $t/x; ls top/sub 2>/dev/null; stat -c '%n %s %h' src/rel/two top/two
[ src/rel/two -ef build/two ] && echo same; [ $t/x/two -ef top/two ] && echo same
(cd $t/x && pwd -P | grep -o build && gcc -c ../src/a.c -o a.o && gcc a.o -o prog && ./prog; echo $?; $t/x/prog; echo $?)
$t/x/../src/rel/prog; echo $?; mkdir build/sub; echo up > build/up; ln -s $PWD/build/sub $t/sub; cat $t/sub/../up; ls $t/sub/.. | wc -l
mkdir -p elsewhere/d/build; echo else > elsewhere/d/build/f; ln -s elsewhere/d link; echo hosted > build/f; mkdir elsewhere/build; echo right > elsewhere/build/f; cat link/../build/f
cat link/build/f; echo more >> link/build/f; cat elsewhere/d/build/f; ls elsewhere/d/build
echo new > build/file; ln -s $PWD/build/file $t/flink; cat $t/flink; echo newer > build/file; cat $t/flink; mv $t/flink $t/moved; echo newest > build/file; cat $t/moved; stat -L -c %s $t/moved
ln -s $PWD/build/later $t/dangling; cat $t/dangling 2>/dev/null; echo $?; echo here > build/later; cat $t/dangling; echo through > $t/dangling; cat build/later
mv $t/x/two $t/two; cat $t/two; ls build/two 2>/dev/null; echo $?; mv $t/two $t/x/back; cat build/back; rm $t/x/back; ls build/back 2>/dev/null; echo $?
python3 - $t <<'P'
import os, sys
t = sys.argv[1]
fd = os.open(t, os.O_RDONLY)
open("build/by_fd", "w").write("by fd")
print(os.stat("x/by_fd", dir_fd=fd).st_size, sorted(os.listdir(t + "/x"))[:3], os.path.realpath(t + "/x/by_fd") == os.path.realpath("build/by_fd"))
for name in ("x/none", "x/one/z", "x/../none", "none/../x/one"):
    try: os.stat(t + "/" + name)
    except OSError as e: print(name, e.errno)
os.unlink(t + "/x"); os.mkdir(t + "/x"); print(os.path.exists(t + "/x/one"))
os.rmdir(t + "/x"); os.symlink(os.path.abspath("build"), t + "/x"); open("build/again", "w").write("1"); print(os.path.exists(t + "/x/again"))
P
rm -rf $t elsewhere link src/rel top; ls build | wc -l; rm build/prog build/a.o
