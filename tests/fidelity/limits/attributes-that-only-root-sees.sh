#custom
# needs: root unshare
# natively: kept
# hosted: lost
as_user() { unshare --user --map-user=1000 --map-group=1000 "$@"; } # root's files are his, no others
echo text > build/f
python3 -c 'import os; os.setxattr("build/f", "trusted.mark", b"1")'
as_user $RUN sh -c 'echo more >> build/f'
python3 -c 'import os; print("kept" if "trusted.mark" in os.listxattr("build/f") else "lost")'
