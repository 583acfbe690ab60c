# directories that have hosted ones below them are renamed, exchanged, and become the working directory's
mkdir -p p/build o
echo x > p/build/x; mv p p2; cat p2/build/x; ls p2/build
mkdir p2/build/d; echo z > p2/build/d/z; ln p2/build/x p2/build/h; mv p2 p; cat p/build/d/z; ls p/build
mkdir n; mv p n/; cat n/p/build/x; ls -R n; rm n/p/build/x; ls n/p/build
mkdir -p p/build; echo new > p/build/new; ls p/build; ln -s n way; mv way/p way/q; cat n/q/build/h way/q/build/d/z
python3 - <<'P'
import ctypes, os
os.mkdir("q"); os.mkdir("q/build"); open("q/build/second", "w").write("second\n")
print(ctypes.CDLL(None).renameat2(-100, b"p", -100, b"q", 2))
print(os.listdir("p/build"), os.listdir("q/build"), open("p/build/second").read(), open("q/build/new").read())
P
cd n/q; (cd ..; mv q r; mkdir -p q/build; echo other > q/build/h)
echo here > build/here; cat build/h; mv ../../n ../../m; echo there > build/there; ls build; cat build/here
cd "$HERE"; ls m/r/build m/q/build; mv m/r build/; cat build/r/build/here; mv build/r o/; cat o/r/build/there; find . | sort
cat > rename.py <<'P'
import os
os.makedirs("s/build"); os.makedirs("s/t/build")
files = [open(path, "a") for path in ("s/build/log", "s/t/build/log", "s/build/unwritten")]
files[0].write("before\n"); files[0].flush()
os.rename("s", "u"); [file.write("after\n") or file.flush() for file in files]
print([open(path).read() for path in ("u/build/log", "u/t/build/log", "u/build/unwritten")], os.path.exists("s"))
P
python3 rename.py
