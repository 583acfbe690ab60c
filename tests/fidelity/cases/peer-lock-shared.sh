# needs: flock
# a descriptor that two processes share cannot be led to the disk before it is locked: it holds inside
exec 9> build/shared; echo text >&9
flock 9; flock -n build/shared true || echo busy
flock -u 9; flock -n build/shared true && echo free; cat build/shared
