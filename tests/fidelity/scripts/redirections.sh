cd build; for i in 1 2 3; do echo line $i; done > f; (read x; read y; echo $x-$y) < f; exec 5>g; echo hi >&5; (echo sub >&5); exec 5>&-; cat g; { echo 1; echo 2; } | tee h; cat < h; cat <<X > heredoc
text
X
cat heredoc; : > empty; stat -c '%n %s %h %F %a' *
