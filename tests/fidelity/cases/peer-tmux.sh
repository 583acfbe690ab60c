#custom
# needs: tmux
# a multiplexer that was there before runs commands for a client that has long gone; one is waited for, one is looked for
export TMUX_TMPDIR=$HERE/tmux; mkdir -m 700 tmux; T="tmux -L velo -f /dev/null"; export T
$T new-session -d -s first -x 80 -y 24 "sleep 1000"
cat > step.sh <<'X'
echo 1 > build/in
$T new-session -d "cp build/in build/copy; tmux -L velo wait-for -S copied"; $T wait-for copied; cat build/copy
echo 2 > build/in
$T new-window -d "sleep 0.3; cp build/in build/new; mv build/new build/later"
until test -e build/later; do sleep 0.05; done; cat build/later; ls build
X
$RUN bash step.sh
$T kill-server; rm -rf tmux
