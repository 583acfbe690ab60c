# a program with VELO_DISABLE in its environment sees the disk: what was made before is there, what it makes is seen
cd build
echo before > f; mkdir d
VELO_DISABLE=1 cat f
VELO_DISABLE=1 sh -c 'echo made > g; echo made > d/g; rm f; ls'
cat g d/g; ls; test -e f || echo removed
env VELO_DISABLE=1 ls d
