# a toolchain that brings a loader and a libc of its own, older than the system's (here: without one version name)
mkdir -p old; cp /lib/*-linux-gnu/libc.so.6 old/; cp $(readelf -l /bin/sh | sed -n 's/.*interpreter: \(.*\)]/\1/p') old/ld.so; python3 - <<'P'
b = open("old/libc.so.6", "rb").read()
open("old/libc.so.6", "wb").write(b.replace(b"GLIBC_2.34\0", b"GLIBC_2.94\0"))
P
cat > p.c <<'C'
int puts(const char*); void exit(int); int open(const char*,int,...); long write(int,const void*,unsigned long);
int rename(const char*,const char*);
void go(void){int f=open("build/a",0101,0644);write(f,"x\n",2);rename("build/a","build/b");puts("tool ran");exit(0);}
__asm__(".globl _start\n_start: andq $-16,%rsp\ncall go\n");
C
gcc -w -fno-stack-protector -nostartfiles p.c -o tool -Wl,--dynamic-linker=$PWD/old/ld.so -Wl,-rpath,$PWD/old
echo before > build/c; ./tool; echo "status $?"; ls build; cat build/b
printf '#!%s\n' $PWD/tool > script; chmod +x script; ./script; echo "script $?"
env -i ./tool; old/ld.so --library-path old ./tool; echo "by its loader $?"; ls build; rm -rf old tool
