#custom
# a process outside works for one inside, and is asked by FIFOs: in the workspace, in a hosted directory; opened once and again
mkfifo ask answer build/ask build/answer
serve() { # $1: where; a shell that opens both for each word, as scripts do
  while read -r line < $1/ask; do [ "$line" = end ] && break; eval "$line" > said.$1.txt 2>&1; tr '\n' ';' < said.$1.txt > $1/answer; done
}
(cd "$HERE"; serve .) & one=$!
(cd "$HERE"; serve build) & two=$!
cat > step.sh <<'X'
ask() { echo "$2" > $1/ask; read -r said < $1/answer; echo "$said"; }
for where in . build; do
  echo 1 > build/in; echo "text $where" > build/text
  ask $where "cat build/in build/text; tr 1 2 < build/in > build/out; mkdir build/made; echo y > build/made/f; rm build/in"
  cat build/out build/made/f; test -e build/in || echo gone
  echo 3 > build/in; ask $where "cat build/in; echo more >> build/out"; cat build/out; rm -r build/made; ask $where "ls build | grep made"; ls build
done
exec 3> ask; echo 4 > build/late; echo "cat build/late" >&3; exec 3>&-; read -r said < answer; echo "$said"
X
$RUN bash step.sh
echo end > ask; echo end > build/ask; wait $one $two; rm -f said* ask answer build/ask build/answer
