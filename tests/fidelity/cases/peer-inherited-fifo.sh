#custom
# the command inherits FIFOs whose other ends a process outside has
mkfifo ask answer
(while read -r name; do cat build/$name; echo; done < ask > answer) &
exec 7> ask 8< answer
$RUN bash -c 'for i in 1 2 3; do echo text $i > build/t$i; echo t$i >&7; read -r said <&8; read -r end <&8; echo "$said"; done'
exec 7>&- 8<&-; wait; rm ask answer
