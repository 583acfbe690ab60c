cd build; (for i in 1 2 3; do echo $i >> l; sleep 0.2; done) & sleep 0.1; timeout 1 tail -f l; cat l
