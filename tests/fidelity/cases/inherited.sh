#custom what a command has from who started it: its locale, ignored signals, a timer, a directory to read from, no proper home
# needs: perl
for locale in '' LC_CTYPE=C LC_CTYPE=POSIX LC_CTYPE= LANG=C LC_ALL=C LC_CTYPE=C.UTF-8; do
  env -u LANG -u LC_ALL -u LC_CTYPE $locale $RUN sh -c 'echo "${LC_CTYPE-none} ${LC_ALL-none} ${LANG-none}"'
done
for names in 'PIPE' 'XFSZ' 'PIPE XFSZ' 'INT'; do
  (trap '' $names; $RUN perl -e 'print join(" ", map { $_ . "=" . ($SIG{$_} // "") } qw(PIPE XFSZ INT TERM)), "\n"')
done
(trap '' PIPE; $RUN sh -c 'seq 100000; echo "seq: $?" > build/rc' 2> /dev/null | true); cat build/rc
$RUN sh -c '(seq 100000; echo "seq: $?" > build/rc) | true'; cat build/rc
(perl -e 'alarm 2; exec @ARGV' $RUN perl -e 'sleep 100'; echo "a timer: $?") 2> /dev/null
for directory in . build /; do $RUN sh -c 'readlink /proc/self/fd/0; read -r line' < $directory 2>&1 | sed "s#$HERE#H#"; done
$RUN ls -l /proc/self/fd < . | grep -c -- '->'
env '=C:=C:\' '=odd' KEPT=yes $RUN sh -c 'echo $KEPT'
for home in relative/home . ''; do (unset XDG_CACHE_HOME XDG_CONFIG_HOME; HOME=$home; $RUN sh -c 'echo "home: $HOME" > build/home; cat build/home'); done; find . -name home
$RUN '' 2> /dev/null; echo "no name: $?"
