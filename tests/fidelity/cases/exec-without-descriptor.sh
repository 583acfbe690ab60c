# a program that is started when all descriptors are taken: its loader says what it says of libc, and no more
cd build; echo a > a
bash -c 'ulimit -n 40; exec 39>e; echo high >&39; for i in $(seq 3 38); do eval "exec $i<a" || break; done; cat e' 2>&1 | sed 's/.*line/line/'
bash -c 'ulimit -n 40; for i in $(seq 3 37); do eval "exec $i<a"; done; cat e; exec 30<&-; cat a' 2>&1 | sed 's/.*line/line/'
