#custom
# natively: new
# hosted: old
echo old > build/f
cat > inside.sh <<'X'
cat build/f > /dev/null; echo new > build/g; mv build/g build/f; echo > ready
while [ ! -e made ]; do sleep 0.02; done
cat link
X
$RUN bash inside.sh & until [ -e ready ]; do sleep 0.02; done
ln -s build/f link; echo > made; wait
