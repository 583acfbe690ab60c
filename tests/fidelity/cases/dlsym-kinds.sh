# every way to ask the loader for a function of libc by name: handles, versions, the next one
mkdir -p src; cat > src/plug.c <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
int plug(const char *p){int(*o)(const char*,int,...)=dlsym(RTLD_NEXT,"open");return o(p,O_RDONLY);}
C
cat > src/wrap.c <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
int wrapped;
int open(const char*p,int f,...){static int(*o)(const char*,int,...);if(!o)o=dlsym(RTLD_NEXT,"open");va_list a;va_start(a,f);int m=va_arg(a,int);va_end(a);wrapped++;return o(p,f,m);}
int other(const char*p){struct stat s;int(*st)(const char*,struct stat*)=dlsym(RTLD_NEXT,"stat");return st(p,&s);}
C
cat > src/m.c <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
typedef int(*op)(const char*,int,...);
int plug(const char*);int other(const char*);
static void say(const char*n,void*f){int fd=f?((op)f)("build/a",O_RDONLY):-2;char b[9]={0};if(fd>=0)read(fd,b,8),close(fd);printf("%s %s",n,fd<0?"no\n":b);}
int main(void){FILE*f=fopen("build/a","w");fputs("one\n",f);fclose(f);
void*c=dlopen("libc.so.6",RTLD_LAZY);
say("handle",dlsym(c,"open"));say("handle 64",dlsym(c,"open64"));say("under",dlsym(c,"__open"));
say("version",dlvsym(c,"open","GLIBC_2.2.5"));say("default version",dlvsym(RTLD_DEFAULT,"open","GLIBC_2.2.5"));
say("wrong version",dlvsym(c,"open","GLIBC_9"));puts(dlerror()?"told":"silent");
say("default",dlsym(RTLD_DEFAULT,"open"));say("next",dlsym(RTLD_NEXT,"open"));say("noload",dlsym(dlopen(0,RTLD_LAZY),"open"));
int fd=plug("build/a");printf("plugin's next %d\n",fd>=0);printf("a wrapper's other %d\n",other("build/a"));
char*(*rp)(const char*,char*)=dlvsym(c,"realpath","GLIBC_2.3");char*r=rp("build/a",0);printf("realpath %s\n",r?strrchr(r,'/'):"no");
printf("missing %d %s\n",dlsym(c,"no_such")!=0,dlerror()?"told":"silent");printf("null %d\n",dlsym(c,"errno")!=0);
return 0;}
C
gcc -w -shared -fPIC -o src/libplug.so src/plug.c; gcc -w -shared -fPIC -o src/libwrap.so src/wrap.c
gcc -w -o src/m src/m.c -Lsrc -Wl,--no-as-needed -lplug -lwrap -Wl,-rpath,$PWD/src && ./src/m; echo "status $?"; ls build
