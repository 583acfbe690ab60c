#custom
# files whose absolute path is about as long as PATH_MAX, or longer: sync, unload and stop work
cat > deep.py <<'P'
import os, sys
left = int(sys.argv[1]) - len(os.getcwd())
while left > 210: os.makedirs("d" * 199, exist_ok=True); os.chdir("d" * 199); left -= 200
open("f" * (left - 1), "w").write("x")
P
for n in 4094 4096 4097 4120 5000; do
  rm -rf build; mkdir build
  $RUN sh -c "cd build; python3 ../deep.py $n; find . | wc -l; echo late > ../build/late"
  cat build/late
  for verb in sync unload stop; do
    [ $SIDE = hosted ] && { timeout 60 $VELO $verb > said 2>&1 || { echo "$verb failed"; cat said; }; }
  done
done
rm -rf build deep.py said; mkdir build
