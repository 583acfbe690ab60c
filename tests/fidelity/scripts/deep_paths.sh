# Deeper than an absolute path can say (4096 bytes): made, looked at, written, moved and removed by
# relative names; and a directory that is moved so that what is in it comes to lie there, or no longer.
cd build; top=$PWD
name=$(printf 'x%.0s' {1..100})
for i in {1..50}; do mkdir $name && cd $name || break; done; echo depth $i
echo hi > f; cat f; mkdir sub; mv f sub/g; cat sub/g; ln sub/g sub/h; ln -s g sub/l; cat sub/l
stat -c %h sub/g; ls sub; chmod 600 sub/g; stat -c %a sub/h; rm sub/h; mkfifo sub/p; ls -p sub
cp sub/g $top/shallow; cat $top/shallow; mv $top/shallow sub/; cat sub/shallow; cat < sub/shallow
cd $top; find . | wc -l; find . -type f | wc -l; find . -name g -execdir cat {} \;
du --apparent-size -s . > /dev/null && echo walked; tar cf - $name | tar tf - | wc -l
rm -rf $name; ls
python3 - <<'P'
import os
# Around the border, in steps of one byte: what is last in reach, and what is not.
deep = "d" * 200
fd = os.open(".", os.O_RDONLY)
length = len(os.getcwd())
while length + 201 < 3900:
    os.mkdir(deep, dir_fd=fd)
    fd = os.open(deep, os.O_RDONLY, dir_fd=fd)
    length += 201
for more in range(4088 - length, 4104 - length):
    name = "n" * min(more - 1, 255)
    file = os.open(name, os.O_CREAT | os.O_RDWR, 0o640, dir_fd=fd)
    os.write(file, b"bytes")
    print(os.fstat(file).st_size, os.stat(name, dir_fd=fd).st_size, len(os.listdir(fd)))
    os.rename(name, name[1:], src_dir_fd=fd, dst_dir_fd=fd)
    print(os.path.samestat(os.fstat(file), os.stat(name[1:], dir_fd=fd)), len(os.listdir(fd)))
    os.unlink(name[1:], dir_fd=fd)
    os.mkdir(name, dir_fd=fd)
    inside = os.open(name, os.O_RDONLY, dir_fd=fd)
    os.close(os.open("in", os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=inside))
    print(os.listdir(inside), [os.stat(name, dir_fd=fd).st_ino == os.fstat(inside).st_ino])
    print(sum(e.inode() == os.stat(e.name, dir_fd=fd).st_ino for e in os.scandir(fd)))
    try:
        os.rmdir(name, dir_fd=fd)
    except OSError as error:
        print(error.errno)
    os.unlink("in", dir_fd=inside)
    os.rmdir(name, dir_fd=fd)
    print(len(os.listdir(fd)))
P
rm -rf d*; ls
long=$(printf 'y%.0s' {1..200})
mkdir -p low/$long/$long; (cd low/$long/$long; for i in {1..8}; do mkdir $long; cd $long; done; echo low > low)
(for i in {1..12}; do mkdir z$long; cd z$long; done)
target=$(printf "z$long/%.0s" {1..12}); mv low $target; echo moved $?
(cd $target/low; for i in {1..10}; do cd $long; done; cat low; echo new > new; ls)
find . -name low -type f | wc -l
mv $target/low .; echo back $?; (cd low; for i in {1..10}; do cd $long; done; cat low new; echo more >> new)
find . -name new -execdir cat {} \;
rm -rf z*; find . | wc -l
