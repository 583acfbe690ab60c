cd build; echo a > a; cat a; echo b >> a; cat a; wc -c a; [ -f a ] && echo file; [ -s a ] && echo nonempty; [ -d . ] && echo dir; [ a -nt nothing ]; echo $?; rm a; ls; cat a; echo $?
