# RTLD_DEEPBIND: an object that looks for functions in its own libraries first
mkdir -p src; cat > src/x.c <<'C'
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include <stdio.h>
static int first = -1;
int peek(const char *p){int fd=open(p,O_RDONLY);if(fd<0)return -errno;char b[64];int n=read(fd,b,63);close(fd);return n;}
int poke(const char *p){int fd=open(p,O_WRONLY|O_CREAT,0644);if(fd<0)return -errno;int n=write(fd,"poked\n",6);close(fd);return n;}
__attribute__((constructor)) static void begin(void){first=peek("build/a");poke("build/by_constructor");}
int early(void){return first;}
C
cat > src/m.c <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>
int main(int c,char**v){FILE*f=fopen("build/a","w");fputs("hello\n",f);fclose(f);
void*h=c>1?dlopen("./src/x.so",RTLD_NOW|RTLD_DEEPBIND):dlmopen(LM_ID_NEWLM,"./src/x.so",RTLD_NOW);
if(!h){puts(dlerror());return 1;}
int(*peek)(const char*)=dlsym(h,"peek"),(*poke)(const char*)=dlsym(h,"poke"),(*early)(void)=dlsym(h,"early");
printf("early %d peek %d poke %d access %d\n",early(),peek("build/a"),poke("build/b"),access("build/b",R_OK));
rename("build/a","build/c");printf("peek c %d\n",peek("build/c"));f=fopen("build/d","w");fputs("late\n",f);fclose(f);printf("peek d %d\n",peek("build/d"));return 0;}
C
gcc -w -shared -fPIC -o src/x.so src/x.c && gcc -w -o src/m src/m.c && ./src/m deep; cat build/*; ls build
