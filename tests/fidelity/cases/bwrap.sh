# needs: bwrap root
# a sandbox with a /dev of its own (and so a /dev/shm) around build steps
mkdir -p build; echo 'int main(){return 0;}' > a.c; gcc -c a.c -o build/a.o
bwrap --ro-bind / / --bind $PWD $PWD --dev /dev --proc /proc --chdir $PWD gcc build/a.o -o build/a 2>&1; echo "status $?"
ls build; ./build/a; echo "ran $?"
bwrap --ro-bind / / --bind $PWD $PWD --dev /dev --unshare-pid --proc /proc --chdir $PWD sh -c 'echo x > build/x; cat build/x; ls build' 2>&1; echo "status $?"
cat build/x; bwrap --ro-bind / / --bind $PWD /work2 --dev-bind /dev /dev --chdir / sh -c 'cat /work2/build/x 2>&1; echo y >> /work2/build/x' 2>&1; cat build/x
bwrap --unshare-all --ro-bind / / --bind $PWD $PWD --tmpfs /dev/shm --chdir $PWD sh -c 'gcc build/a.o -o build/b && ./build/b; echo $?; rm build/x; mkdir build/d; echo z > build/d/z' 2>&1; ls build; cat build/d/z
