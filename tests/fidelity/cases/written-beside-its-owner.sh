#custom
# files that a user may write and may not make again: of a group that he is not in, of somebody else, in a directory
# of somebody else
# needs: root unshare
as_user() { unshare --user --map-user=1000 --map-group=1000 "$@"; } # root's files are his, no others
for f in a b c d e g h j k; do echo text > build/$f; chmod 664 build/$f; done
chgrp 4242 build/[abcdegh]; chown 4242 build/j build/k; chmod 666 build/j build/k
mkdir build/theirs; echo text > build/theirs/f; cp build/theirs/f build/theirs/g
chown 4242 build/theirs; chmod 755 build/theirs; chmod 664 build/theirs/?
mkdir build/given; chgrp 4242 build/given; chmod 2755 build/given # its group goes to what is made in it
cat > look.sh <<'END'
echo more >> build/a; echo less > build/b; truncate -s 100 build/c; chmod 640 build/d
sed -i s/t/T/ build/e; ln build/g build/g2; echo more >> build/g2; mv build/h build/i; echo more >> build/i
echo more >> build/j; : > build/k; echo more >> build/theirs/f; truncate -s 2 build/theirs/g
stat -c '%n %u %g %a %s' build/? build/g2 build/theirs/*; cat build/? build/g2 build/theirs/* | sort | uniq -c
exec 5>>build/a; echo opened >&5; exec 5>&-; cat build/a; cmp build/g build/g2
rm build/g; echo again >> build/g2; echo shorter > build/a; cat build/a build/g2
echo new > build/given/f; echo more >> build/given/f; mkdir build/given/d; echo new > build/given/d/f
mv build/given/f build/given/g; stat -c '%n %g %a %s' build/given/* build/given/d/f
python3 -c 'import os; os.open("build/given", os.O_TMPFILE | os.O_RDWR)'
END
as_user $RUN sh look.sh 2>&1
stat -c '%n %u %g %a %s' build/? build/g2 build/theirs/* build/given/* build/given/d/f; cat build/a build/g2 build/theirs/*
