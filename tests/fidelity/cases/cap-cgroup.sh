#custom
# a container with a memory limit: pages of files on disk can be dropped, those of files in memory cannot
# needs: root
memory=/sys/fs/cgroup/memory; limit=memory.limit_in_bytes members=tasks
[ -d $memory ] || { memory=/sys/fs/cgroup; limit=memory.max members=cgroup.procs; }
group=$memory/velo-case-$$; mkdir $group 2>/dev/null && echo 300M > $group/$limit 2>/dev/null || { echo "no cgroups"; exit; }
cat > step.sh <<'X'
mkdir -p build; for i in $(seq 80); do cp source build/f$i || { echo "cp fails"; exit 9; }; done
ls build | wc -l; cat build/f* | wc -c
for i in $(seq 60); do cat source; done > build/together; wc -c < build/together
X
head -c 6000000 /dev/zero | tr '\0' x > source
( echo $BASHPID > $group/$members; $RUN bash step.sh 2>&1; echo "-> $?" )
cat $group/memory.oom_control $group/memory.events 2>/dev/null | grep '^oom_kill '
[ $SIDE = hosted ] && $VELO stop > /dev/null 2>&1
cat build/f* | wc -c; rm -f build/* source step.sh
while read -r member; do echo "$member" > $memory/$members; done < $group/$members 2>/dev/null
[ -e $group/memory.force_empty ] && echo 0 > $group/memory.force_empty
rmdir $group
