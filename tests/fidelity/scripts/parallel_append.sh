cd build; for i in $(seq 8); do (for j in $(seq 50); do echo "$i $j" >> log; done) & done; wait; wc -l log; sort -o log log; md5sum < log
