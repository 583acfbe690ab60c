# the kernel writes who ended into a file that a program names, and nobody sees it open (acct)
# needs: root
export account='import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
name = sys.argv[1].encode() if sys.argv[1:] else None
print("acct:", "ok" if libc.acct(name) == 0 else os.strerror(ctypes.get_errno()))'
cd build || exit
echo before > log; echo other > other
python3 -c "$account" nowhere; python3 -c "$account" .; ln -s log link
python3 -c "$account" link
/bin/true; /bin/false; bash -c 'exit 3'
test "$(stat -c %s log)" -gt 100 && echo "it grows, as stat tells"
test "$(wc -c < log)" -gt 100 && echo "it grows, as who reads it is told"
head -n 1 log
python3 -c "$account"
size=$(stat -c %s log); /bin/true; test "$size" = "$(stat -c %s log)" && echo "it is over"
echo after >> log; tail -c 6 log; rm log link; ls; cat other
