#custom directories in which files wait to be put: moved, replaced, removed and led astray from outside
later() { if [ $SIDE = native ]; then "$@"; else "$VELO" exec --no-wait -- "$@"; fi; }
velo() { [ $SIDE = native ] || "$VELO" "$@" > /dev/null || echo "velo $1 failed"; }
seen() { find . -path ./velo.toml -o -printf '%y %n %p ' -type f -exec cat {} \; -o -printf '%l\n' | sort; }
fill='for d; do mkdir -p $d/sub/sub; echo $d > $d/f; echo old > $d/g; ln $d/f $d/h; echo sub > $d/sub/sub/f; ln $d/g $d/sub/l; done'
around() { # with which command everything is put, in the end
    mkdir -p build target other victim
    velo exec -- true; velo pause
    later sh -c "$fill; echo root > build/root; echo root > target/root" sh build/{moved,out,new,gone,again,astray,deep/in,deep/up} target/in
    mv build/moved build/away
    mv build/out other/out
    mv build/new other/new; mkdir build/new; echo mine > build/new/mine
    rm -rf build/gone
    rm -rf build/again; mkdir build/again
    mv build/astray other/led; ln -s ../victim build/astray
    mv build/deep/in/sub build/deep/sub; mv build/deep build/high
    mv target other/target; ln -s victim target
    velo resume; velo "$1"; seen
    later ls build build/moved build/new build/again build/astray 2>&1 | sort; velo sync; seen
    rm -rf build/* other victim target
}
around sync; around unload; around stop
