# files and directories that may not be changed any more (chattr +i, +a): their names are protected as well
# needs: root chattr
cd build
echo x > f; echo x > g; mkdir d e; echo x > d/x; echo x > e/x
chattr +i f d 2>&1; chattr +a g e 2>&1
lsattr -d f g d e | cut -c5-6
for command in 'rm f' 'rm g' 'mv f k' 'mv g k' 'touch d/y' 'rm d/x' 'touch e/y' 'rm e/x' 'rmdir d' 'ln f l'; do
    sh -c "$command" > /dev/null 2>&1 && echo "$command: done" || echo "$command: refused"
done
sh -c 'echo more > f' 2> /dev/null && echo written || echo refused
sh -c 'echo more >> g' 2> /dev/null && echo appended || echo refused
sh -c 'echo more > g' 2> /dev/null && echo written || echo refused
cat f g
chattr -i f d; chattr -a g e
rm -rf f g d e && ls
