# profiles and logs that libc and the loader write by calls of their own
# needs: gcc
cd build
cat > p.c <<'C'
volatile long sum;
__attribute__((noinline)) void work(void) { for (int i = 0; i < 3000000; i++) sum += i; }
int main(void) { work(); return 0; }
C
gcc -pg -O1 p.c -o p && ./p && ls && gprof -b -p p gmon.out > profile && grep -c ' work$' profile
mkdir sub && (cd sub && GMON_OUT_PREFIX=prefix ../p; ls | sed 's/[0-9]*$/N/'; rm prefix.*; ls)
rm gmon.out && ./p && mv gmon.out moved && test -s moved && echo written again
LD_DEBUG=libs LD_DEBUG_OUTPUT=log ./p; ls | sed 's/log\.[0-9]*/log.N/'
cat log.* | grep -q 'calling init' && echo logged
rm -f log.* moved gmon.out profile p
