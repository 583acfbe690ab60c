#custom
# attributes that root gave a user's files, and that he may neither set nor take away: they stay when he writes
# needs: root unshare
as_user() { unshare --user --map-user=1000 --map-group=1000 "$@"; } # root's files are his, no others
give() { python3 -c 'import os, sys; os.setxattr(sys.argv[1], sys.argv[2], bytes.fromhex(sys.argv[3]))' "$@"; }
for f in a b c d e f; do
  cp /bin/true build/$f; give build/$f security.signed 01; give build/$f user.own 02
done
give build/f security.capability 0100000200200000000000000000000000000000
cat > look.sh <<'END'
echo more >> build/a; echo less > build/b; chmod 700 build/c; mv build/d build/g; ln build/e build/h
truncate -s 3 build/h; touch -d @5 build/f; echo more >> build/g
python3 -c 'import os; os.setxattr("build/a", "user.own", b"3"); os.removexattr("build/b", "user.own")
try: os.setxattr("build/a", "security.signed", b"4")
except OSError as error: print(error)'
END
as_user $RUN sh look.sh 2>&1
[ "$SIDE" = hosted ] && as_user "$VELO" stop > /dev/null
python3 -c 'import os
for f in sorted(os.listdir("build")):
    print(f, [(name, os.getxattr("build/" + f, name)) for name in sorted(os.listxattr("build/" + f))])'
