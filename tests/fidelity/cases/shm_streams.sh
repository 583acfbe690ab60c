#custom
# needs: root unshare gcc
# every way of libc to write to a stream, each more than a small /dev/shm holds
cat > w.c <<'C'
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#define MANY 6000000
static char line[1001];
static FILE *f;
static FILE *begin(const char *name){char p[64];snprintf(p,64,"build/%s",name);return f=fopen(p,"w");}
static void end(const char *name){int bad=ferror(f);if(fclose(f)!=0||bad)printf("%s fails\n",name);}
#define ALL(name, times, call) do { begin(name); for (int i=0;i<times;i++) call; end(name); } while (0)
int main(void){
  memset(line,'x',999); line[999]='\n';
  ALL("fwrite", MANY/1000*2, fwrite(line,1,1000,f));
  ALL("fwrite_unlocked", MANY/1000*2, fwrite_unlocked(line,1,1000,f));
  ALL("fputs", MANY/1000*2, fputs(line,f));
  ALL("fputs_unlocked", MANY/1000*2, fputs_unlocked(line,f));
  ALL("fprintf", MANY/1000*2, fprintf(f,"%d%s",i,line));
  ALL("putc", MANY*2, putc('c',f));
  ALL("putc_unlocked", MANY*2, putc_unlocked('c',f));
  ALL("fputc", MANY*2, fputc('c',f));
  if(!freopen("build/stdout","w",stdout)) return 1;
  for(int i=0;i<MANY/1000;i++){puts(line);printf("%s%d",line,i);putchar('c');}
  return ferror(stdout)||fclose(stdout)?2:0;}
C
gcc -O2 -w w.c -o w
unshare -m bash -c 'unset VELO_RUNTIME_DIR
mount -t tmpfs -o size=10m shm /dev/shm
$RUN ./w; echo "-> $?"; for f in build/*; do echo "$f $(md5sum < $f)"; done
[ $SIDE = hosted ] && $VELO stop > /dev/null 2>&1; ls -A /dev/shm'
rm -f w
