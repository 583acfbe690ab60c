# Names of hosted directories inside each other, while the outer one is missing, a file, and there.
set -u
try() { python3 -c 'import os, sys; os.mkdir(sys.argv[1])' "$1" 2>&1 | tail -1; }
rm -r build
for name in build/a/build/b build/a/build build/a; do try "$name"; done
mkdir -p build/a/build/b/build/c
ls -R build
rm -r build/a/build
try build/a/build/b/build
touch build/a/build && try build/a/build/b/build
ls -A build/a; rm -r build; ls -A; mkdir build; touch buildx; try buildx/build
mkdir -p other/build/build; echo text > other/build/build/file; ls -R other; rm -r other buildx
