# the kernel writes core files into the directory where the program stood
# needs: core-files
ulimit -c unlimited; exec 2> /dev/null
mkdir -p build/d build/e; cd build/d; echo beside > file
bash -c 'kill -SEGV $$'; echo "$(ls)"; core=$(ls | grep -v file); test -s $core && echo "not empty"; stat -c '%a %F' $core; rm $core && echo removed; ls
python3 -c 'import os, signal; os.abort()'; ls | sed 's/[0-9].*//'; rm core*; cat file
(cd ../e && bash -c 'kill -QUIT $$'); ls ../e | sed 's/[0-9].*//'; rmdir ../e || rm -r ../e; ls ..
cd ..; rm -r d && echo gone; ls
