# a program whose program headers stand at the end of the file, where what edits programs puts them
mkdir -p old; cp /lib/*-linux-gnu/libc.so.6 old/; cp $(readelf -l /bin/sh | sed -n 's/.*interpreter: \(.*\)]/\1/p') old/ld.so; python3 - <<'P'
b = open("old/libc.so.6", "rb").read()
open("old/libc.so.6", "wb").write(b.replace(b"GLIBC_2.17\0", b"GLIBC_2.97\0").replace(b"GLIBC_2.14\0", b"GLIBC_2.94\0"))
P
cat > p.c <<'C'
int puts(const char*); void exit(int); int open(const char*,int,...); long write(int,const void*,unsigned long);
int rename(const char*,const char*);
void go(void){int f=open("build/a",0101,0644);write(f,"x\n",2);rename("build/a","build/b");puts("tool ran");exit(0);}
__asm__(".globl _start\n_start: andq $-16,%rsp\ncall go\n");
C
gcc -w -fno-stack-protector -nostartfiles p.c -o tool -Wl,--dynamic-linker=$PWD/old/ld.so -Wl,-rpath,$PWD/old
cat > edit.py <<'P'
import struct, sys
b = bytearray(open(sys.argv[1], "rb").read())
table, step, count = struct.unpack_from("<Q", b, 32)[0], *struct.unpack_from("<HH", b, 54)
old = [bytearray(b[table + i * step : table + (i + 1) * step]) for i in range(count)]
b += bytes(-len(b) % 4096)
at = len(b)
last = max(struct.unpack_from("<Q", p, 16)[0] + struct.unpack_from("<Q", p, 40)[0] for p in old)
address = (last + 0x1FFFF) & ~0xFFFF
load = struct.pack("<IIQQQQQQ", 1, 4, at, address, address, step * (count + 1), step * (count + 1), 4096)
for p in old:
    if p[0] == 6:  # PT_PHDR, by which the loader finds out where the program lies
        struct.pack_into("<QQQQQ", p, 8, at, address, address, step * (count + 1), step * (count + 1))
b += b"".join(old) + load
struct.pack_into("<Q", b, 32, at)
struct.pack_into("<H", b, 56, count + 1)
open(sys.argv[1], "wb").write(b)
P
python3 edit.py tool
echo before > build/c; ./tool; echo "status $?"; ls build; cat build/b; env -i ./tool; ls build; rm -rf old tool
