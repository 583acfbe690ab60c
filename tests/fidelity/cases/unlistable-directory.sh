#custom
# somebody else's directories that may be searched, or written, but not listed: what is in them is there
# needs: root unshare
as_user() { unshare --user --map-user=1000 --map-group=1000 "$@"; } # root's files are his, no others
mkdir -p build/wx build/x/d target/mine
for file in build/wx/z build/x/z build/x/d/q target/mine/t; do echo text > $file; chmod 666 $file; done
chown 4242 build/wx build/x target
chmod 733 build/wx; chmod 711 build/x target; chmod 777 target/mine
cat > look.sh <<'END'
cat build/x/z build/x/d/q build/wx/z target/mine/t
stat -c '%n %s %a' build/x build/x/z build/wx/z
ls build build/x/d target/mine; ls build/x build/wx target 2>&1
echo more >> build/x/z; cat build/x/z; echo more >> target/mine/t; echo new > target/mine/new
echo new > build/wx/new; cat build/wx/new
(set -C; echo clobber > build/wx/z) 2>/dev/null && echo "made what exists"
mv build/wx/new build/wx/z; cat build/wx/z; ln build/x/z build/linked; echo linked >> build/linked
cat build/x/z; rm build/wx/z; test -e build/wx/z || echo gone
(cd build/x && cat z ../linked && echo up > ../up); cat build/up
mv build/linked build/x/ 2>&1; mkdir build/own; echo own > build/own/f
chmod 300 build/own; cat build/own/f; echo more >> build/own/f; ls build/own 2>&1; chmod 700 build/own
cat build/own/f
END
cat > again.sh <<'END'
ls build/x target build/wx; cat build/x/z target/mine/t; rm target/mine/t; echo again > target/mine/u
ls target/mine; cat target/mine/u
END
as_user $RUN sh look.sh 2>&1
chmod 755 build/x target; as_user $RUN sh again.sh 2>&1 # they can be listed now
chmod 711 build/x; echo outside > build/x/later; as_user $RUN cat build/x/z build/x/later
chmod 755 build/x; as_user $RUN sh -c 'ls build/x; cat build/x/later'
