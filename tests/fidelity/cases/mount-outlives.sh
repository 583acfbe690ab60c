#custom a mount outlives its command; trees with mounts in them are listed, copied and removed
# needs: root
mkdir -p build/m target; trap "umount -lq build/m build/x" EXIT
$RUN sh -c 'mount -t tmpfs none build/m; echo stays > build/m/stays; rm -rf build 2>/dev/null; ls build build/m; echo still > build/m/still'
ls build/m; $RUN sh -c 'cat build/m/still; find build | sort; du -a build | wc -l; cp -r build/m build/copy; ls build/copy; mv build/m build/m3 2>/dev/null || echo busy; python3 -c "import shutil; shutil.rmtree(\"build/copy\")"; df --output=fstype build/m | tail -1; stat -c %m build/m | sed "s|$PWD|.|"; findmnt -n -o FSTYPE --target build/m'
umount build/m; ls -A build/m
$RUN sh -c 'cd build; mkdir x; (mount -t tmpfs none x; cd x; echo in > in; sleep 0.05); ln -s x/in link; cat link; ln -s ../build/x/in link2; cat link2; echo via > link; cat x/in; ln -s "$PWD/x" abs; ls abs abs/; cat abs/../link; [ -e x/in ] && echo there; test -w x; echo $?; realpath x/in abs/in | sed "s|.*/build|build|"; (cd abs; pwd -P | sed "s|.*/build|build|"; echo up > ../up; ls ..); cat up; python3 -c "
import os
os.chdir(\"x\"); print(os.listdir(\"..\")==os.listdir(os.pardir), sorted(os.listdir(\"..\")))
open(\"../new\",\"w\").write(\"n\"); print(open(\"../new\").read(), os.path.exists(\"../../build/new\"), os.path.samefile(\"..\",\"../../build\"))
os.rename(\"../new\",\"../newer\")
try: os.rename(\"../newer\",\"here\")
except OSError as e: print(e.errno)
os.link(\"in\",\"in2\"); os.unlink(\"in2\")
"; umount x; ls x; cat link 2>&1; rmdir x; ls'
