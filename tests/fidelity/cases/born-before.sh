# when what was there before a command was made, which is neither its last change nor the moment it was read
mkdir -p build/d; echo a > build/f; ln -s f build/l
for each in build build/d build/f build/l; do stat -c %w $each > born-$(basename $each); done
touch -d 2001-01-01 build/f; chmod 600 build/f; chmod 700 build/d; mv build/f build/g; echo longer >> build/g
$RUN sh -c 'said() { [ "$(stat -c %w build$1)" = "$(cat $2)" ] && echo "$1 was born then" || echo "$1: $(stat -c %w build$1), not $(cat $2)"; }
  said "" born-build; said /d born-d; said /g born-f; said /l born-l
  echo more >> build/g; chmod 644 build/g; mv build/g build/d/h; said /d/h born-f; cat build/d/h'
rm born-*
