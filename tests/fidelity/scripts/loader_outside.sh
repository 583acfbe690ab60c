# Programs outside that find their libraries in the hosted directory, which the loader opens before
# anybody is there: by RUNPATH, by the path in DT_NEEDED, by LD_PRELOAD; also when they were just rebuilt.
cd build; mkdir lib; out=$(mktemp -d /tmp/velo-loader-XXXXXX)
echo '#include <stdio.h>
int deep(void); int main(void) { printf("%d\n", deep()); return 0; }' > main.c
for number in 1 2; do
echo "int deep(void) { return $number; }" > deep.c
gcc -shared -fPIC -o lib/libdeep.so deep.c; gcc -shared -fPIC -o lib/bare.so deep.c
if [ $number = 1 ]; then
gcc -o $out/searching main.c -Llib -ldeep -Wl,-rpath,$PWD/lib
gcc -o $out/naming main.c lib/bare.so
echo 'int deep(void) { return 0; }' | gcc -shared -fPIC -o $out/libdeep.so -x c -
gcc -o $out/plain main.c -L$out -ldeep -Wl,-rpath,$out
fi
rm -f lib/*.so; gcc -shared -fPIC -o lib/libdeep.so deep.c; $out/searching
rm -f lib/*.so; gcc -shared -fPIC -o lib/bare.so deep.c; $out/naming
rm -f lib/*.so; gcc -shared -fPIC -o lib/hook.so deep.c; LD_PRELOAD=$PWD/lib/hook.so $out/plain
done
rm -rf $out lib/*.so
