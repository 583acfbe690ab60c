#custom
# needs: busybox
# natively: seen
# hosted: not seen
cat > late.sh <<'X'
while [ ! -e go ]; do busybox usleep 9000; done
echo x > build/d/late; echo x > done
X
cat > step.sh <<'X'
mkdir build/d; echo > build/left; ls build/d
busybox sh -c 'busybox env -i busybox setsid busybox sh late.sh > /dev/null 2>&1 < /dev/null & busybox usleep 300000'
ls build/d
echo > go; until [ -e done ]; do sleep 0.02; done
if [ -e build/d/late ]; then echo seen; else echo not seen; fi
X
$RUN bash step.sh
